{{/* What ServiceMonitor and PodMonitor have in common. */}}
{{- define "sluice.monitor.metadata" -}}
{{- $root := index . 0 -}}
{{- $monitor := index . 1 -}}
name: {{ include "sluice.fullname" $root }}
namespace: {{ default $root.Release.Namespace $monitor.namespace }}
labels:
  {{- include "sluice.labels" $root | nindent 2 }}
  {{- with $monitor.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $monitor.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "sluice.monitor.endpoint" -}}
path: /metrics
# The label `service` is a Service of a route, and must not give way to the Service that is scraped.
honorLabels: {{ .honorLabels }}
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
