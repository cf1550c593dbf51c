{{/* A Service for clients. From (dict "root" $ "name" NAME "service" SETTINGS). */}}
{{- define "sluice.service" -}}
{{- $root := .root }}
{{- $name := .name }}
{{- with .service }}
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "sluice.labels" $root | nindent 4 }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ .type }}
  {{- with .clusterIP }}
  clusterIP: {{ . | quote }}
  {{- end }}
  {{- if ne .type "ClusterIP" }}
  {{- with .externalTrafficPolicy }}
  externalTrafficPolicy: {{ . }}
  {{- end }}
  {{- end }}
  {{- with .internalTrafficPolicy }}
  internalTrafficPolicy: {{ . }}
  {{- end }}
  {{- if eq .type "LoadBalancer" }}
  {{- with include "sluice.loadBalancer" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- end }}
  {{- with .externalIPs }}
  externalIPs:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .sessionAffinity }}
  sessionAffinity: {{ . }}
  {{- end }}
  {{- with .ipFamilyPolicy }}
  ipFamilyPolicy: {{ . }}
  {{- end }}
  {{- with .ipFamilies }}
  ipFamilies:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    # No appProtocol: some clouds take it as leave to probe "/" over HTTP, and a gateway without a route for that
    # answers 404.
    {{- $nodePorts := default dict .nodePorts }}
    {{- $hasNodePorts := ne .type "ClusterIP" }}
    {{- range $port, $number := .ports }}
    - name: {{ $port }}
      port: {{ $number }}
      targetPort: {{ $port }}
      protocol: TCP
      {{- if $hasNodePorts }}
      {{- with index $nodePorts $port }}
      nodePort: {{ . }}
      {{- end }}
      {{- end }}
    {{- end }}
    {{- with .extraPorts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  selector:
    {{- include "sluice.selectorLabels" $root | nindent 4 }}
{{- end }}
{{- end -}}

{{/* What only a Service of type LoadBalancer may say. */}}
{{- define "sluice.loadBalancer" -}}
{{- with .loadBalancerClass }}
loadBalancerClass: {{ . }}
{{- end }}
{{- with .loadBalancerIP }}
loadBalancerIP: {{ . | quote }}
{{- end }}
{{- with .loadBalancerSourceRanges }}
loadBalancerSourceRanges:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if kindIs "bool" .allocateLoadBalancerNodePorts }}
allocateLoadBalancerNodePorts: {{ .allocateLoadBalancerNodePorts }}
{{- end }}
{{- if .healthCheckNodePort }}
healthCheckNodePort: {{ .healthCheckNodePort }}
{{- end }}
{{- end -}}
