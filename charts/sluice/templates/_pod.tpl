{{/* The pod, the same for a Deployment and a DaemonSet. What Sluice is told is gathered in lists of their own, so that
     a new flag, variable or volume has one place: sluice.args, sluice.env, sluice.volumes, sluice.volumeMounts. */}}

{{- define "sluice.args" -}}
- run
- --class={{ .Values.ingressClass.name }}
{{- if kindIs "bool" .Values.ingressClass.serveUnclassed }}
- --serve-unclassed={{ .Values.ingressClass.serveUnclassed }}
{{- end }}
{{- range .Values.watchNamespaces }}
- --watch-namespace={{ . }}
{{- end }}
{{- if .Values.config }}
- --config=configmap/{{ include "sluice.nameFor" (list . "config") }}
{{- end }}
{{- if .Values.service.enabled }}
- --service={{ include "sluice.fullname" . }}
{{- end }}
{{- if .Values.state.enabled }}
- --state-dir=/var/lib/sluice
{{- end }}
{{- $admin := .Values.admin }}
- --admin={{ contains ":" $admin.address | ternary (printf "[%s]" $admin.address) $admin.address }}:{{ $admin.port }}
{{- with .Values.workers }}
- --workers={{ . }}
{{- end }}
- --drain={{ .Values.drain.acceptSeconds }}s
- --drain-deadline={{ .Values.drain.deadlineSeconds }}s
- --log-format={{ .Values.logFormat }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "sluice.env" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: SLUICE_ZONE
  {{- if .Values.zone }}
  value: {{ .Values.zone | quote }}
  {{- else }}
  # Since 1.35 Kubernetes writes the zone of the node on the pod. Earlier ones do not, and it is empty: no zone.
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['topology.kubernetes.io/zone']
  {{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "sluice.ports" -}}
{{- $hostPorts := .Values.hostPorts -}}
{{- $hostNetwork := .Values.hostNetwork -}}
{{- range include "sluice.listeners" . | fromYamlArray }}
- name: {{ .name }}
  containerPort: {{ .port }}
  protocol: TCP
  {{- if not $hostNetwork }}
  {{- with index $hostPorts .name }}
  hostPort: {{ . }}
  {{- end }}
  {{- end }}
{{- end }}
- name: admin
  containerPort: {{ .Values.admin.port }}
  protocol: TCP
{{- end -}}

{{- define "sluice.volumes" -}}
{{- if .Values.state.enabled }}
- name: state
  {{- toYaml (default (dict "emptyDir" (dict "sizeLimit" "256Mi")) .Values.state.volume) | nindent 2 }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "sluice.volumeMounts" -}}
{{- if .Values.state.enabled }}
- name: state
  mountPath: /var/lib/sluice
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What a pod gets beside its containers, as far as the pod of `helm test` needs it as well. */}}
{{- define "sluice.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.schedulerName }}
schedulerName: {{ . }}
{{- end }}
{{- end -}}

{{- define "sluice.container" -}}
name: sluice
image: {{ include "sluice.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  {{- include "sluice.args" . | nindent 2 }}
env:
  {{- include "sluice.env" . | nindent 2 }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  {{- include "sluice.ports" . | trim | nindent 2 }}
startupProbe:
  httpGet:
    path: /livez
    port: admin
  {{- toYaml .Values.startupProbe | nindent 2 }}
livenessProbe:
  httpGet:
    path: /livez
    port: admin
  {{- toYaml .Values.livenessProbe | nindent 2 }}
readinessProbe:
  httpGet:
    path: /readyz
    port: admin
  {{- toYaml .Values.readinessProbe | nindent 2 }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "sluice.volumeMounts" . | trim }}
volumeMounts:
  {{- . | nindent 2 }}
{{- end }}
# The last words of a process that could not start show in `kubectl describe`.
terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}

{{- define "sluice.podSpec" -}}
serviceAccountName: {{ include "sluice.serviceAccountName" . }}
automountServiceAccountToken: true
# Sluice reads variables SLUICE_*; those of Services that happen to be called so must not be among them.
enableServiceLinks: false
# Above the end of the drain, so that the kubelet never cuts it short.
terminationGracePeriodSeconds: {{ add (int .Values.drain.deadlineSeconds) 5 }}
{{- with include "sluice.placement" . | trim }}
{{ . }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if .Values.hostNetwork }}
hostNetwork: true
{{- end }}
{{- with default (ternary "ClusterFirstWithHostNet" "" .Values.hostNetwork) .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - {{ include "sluice.container" . | nindent 4 | trim }}
  {{- with .Values.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with include "sluice.volumes" . | trim }}
volumes:
  {{- . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if ne .Values.kind "DaemonSet" }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{ toYaml . | indent 4 | trim }}
    {{- if not .labelSelector }}
    labelSelector:
      matchLabels:
        {{- include "sluice.selectorLabels" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "sluice.podTemplate" -}}
metadata:
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: sluice
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "sluice.podSpec" . | nindent 2 }}
{{- end -}}
