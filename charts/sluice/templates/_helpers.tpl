{{/* The release's name, with the chart's where that does not say it already. */}}
{{- define "sluice.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The full name with an ending, within the 63 characters that a Service's name may have. From (list root ending). */}}
{{- define "sluice.nameFor" -}}
{{- $ending := index . 1 -}}
{{- printf "%s-%s" (include "sluice.fullname" (index . 0) | trunc (int (sub 62 (len $ending))) | trimSuffix "-") $ending -}}
{{- end -}}

{{/* Cluster-scoped objects carry the namespace, so that releases of one name can live in two. */}}
{{- define "sluice.clusterName" -}}
{{- printf "%s-%s" (include "sluice.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "sluice.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "sluice.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What a Deployment may never change; hence nothing that a version or a value changes. */}}
{{- define "sluice.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sluice.labels" -}}
{{ include "sluice.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "sluice.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Where the pod listens for requests, as a list of {name, port}: the listeners of the operator's file, or the one
     that Sluice has without them. A text is not read: whoever writes one keeps the listener on 9000 in it. */}}
{{- define "sluice.listeners" -}}
{{- $written := list -}}
{{- if kindIs "map" .Values.config -}}
{{- $written = default list .Values.config.listeners -}}
{{- end -}}
{{- range $written }}
- {name: {{ include "sluice.portName" . }}, port: {{ .port }}}
{{- else }}
- {name: http, port: 9000}
{{- end }}
{{- end -}}

{{/* The name of a listener as a pod and a Service can have it, which is short; else one made of the port. */}}
{{- define "sluice.portName" -}}
{{- $name := default (printf "%s-%v" (default "http" .protocol) .port) .name -}}
{{- $fits := and (le (len $name) 15) (regexMatch "^[a-z0-9]+(-[a-z0-9]+)*$" $name) (regexMatch "[a-z]" $name) -}}
{{- $fits | ternary $name (printf "port-%v" .port) -}}
{{- end -}}

{{/* Whether ports of the node are taken, of which there is one each. */}}
{{- define "sluice.takesHostPorts" -}}
{{- if or .Values.hostNetwork (compact (values .Values.hostPorts)) -}}true{{- end -}}
{{- end -}}

{{/* How old pods are followed by new ones: Deployment and DaemonSet have the same words for it. */}}
{{- define "sluice.updateStrategy" -}}
{{- $strategy := .Values.updateStrategy -}}
{{- $foreign := ternary "Recreate" "OnDelete" (eq .Values.kind "DaemonSet") -}}
{{- if eq $strategy.type $foreign -}}
{{- fail (printf "updateStrategy.type %s is not for a %s" $foreign .Values.kind) -}}
{{- end -}}
type: {{ $strategy.type }}
{{- if eq $strategy.type "RollingUpdate" }}
{{- $given := default dict $strategy.rollingUpdate }}
{{- $tight := eq (include "sluice.takesHostPorts" .) "true" }}
{{- $unavailable := kindIs "invalid" $given.maxUnavailable | ternary (ternary 1 0 $tight) $given.maxUnavailable }}
{{- $surge := kindIs "invalid" $given.maxSurge | ternary (ternary 0 1 $tight) $given.maxSurge }}
{{- if and (has (toString $unavailable) (list "0" "0%")) (has (toString $surge) (list "0" "0%")) }}
{{- fail "updateStrategy.rollingUpdate: with maxUnavailable 0 and maxSurge 0 no pod could ever be replaced" }}
{{- end }}
rollingUpdate:
  maxUnavailable: {{ $unavailable }}
  maxSurge: {{ $surge }}
{{- end }}
{{- end -}}

{{/* Fails on values that the schema cannot judge, as each of them is right alone. */}}
{{- define "sluice.validate" -}}
{{- $drain := .Values.drain -}}
{{- if gt (int $drain.acceptSeconds) (int $drain.deadlineSeconds) -}}
{{- fail (printf "drain.acceptSeconds (%d) is longer than drain.deadlineSeconds (%d), which ends it" (int $drain.acceptSeconds) (int $drain.deadlineSeconds)) -}}
{{- end -}}
{{- $scaling := .Values.autoscaling -}}
{{- if and $scaling.enabled (eq .Values.kind "DaemonSet") -}}
{{- fail "autoscaling is for a Deployment: a DaemonSet has one pod on each node" -}}
{{- end -}}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- fail (printf "autoscaling.minReplicas (%d) is above autoscaling.maxReplicas (%d)" (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- end -}}
{{- if and (eq .Values.rbac.scope "namespaces") (not .Values.watchNamespaces) -}}
{{- fail "rbac.scope namespaces needs watchNamespaces, which says in which" -}}
{{- end -}}
{{- $listeners := list -}}
{{- range include "sluice.listeners" . | fromYamlArray -}}
{{- $listeners = append $listeners .name -}}
{{- if eq (int .port) (int $.Values.admin.port) -}}
{{- fail (printf "admin.port %d is that of the listener %s" (int .port) .name) -}}
{{- end -}}
{{- end -}}
{{- $led := dict "hostPorts" .Values.hostPorts -}}
{{- if .Values.service.enabled -}}
{{- $_ := set $led "service.ports" .Values.service.ports -}}
{{- end -}}
{{- if .Values.service.internal.enabled -}}
{{- $_ := set $led "service.internal.ports" .Values.service.internal.ports -}}
{{- end -}}
{{- range $place, $ports := $led -}}
{{- range $name, $port := $ports -}}
{{- if and $port (not (has $name $listeners)) -}}
{{- fail (printf "%s.%s leads nowhere: config.listeners has %s" $place $name (join ", " $listeners)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled -}}
{{- fail "metrics.serviceMonitor and metrics.podMonitor together would count everything twice: enable one" -}}
{{- end -}}
{{- end -}}
