{{/* All that Sluice may do, in three lists. The story `privilege` (tests/cluster/stories/privilege.rs) asks a real API
     server what the service account can do, and compares: a right added here is added there, with its reason. */}}

{{/* Of the objects it serves; in a ClusterRole, or in a Role for each namespace. */}}
{{- define "sluice.rules" -}}
# Routes and the policies they use, and what their owners are told about them.
- apiGroups: [gateway.sluice.dev]
  resources: [gatewayroutes, gatewaypolicies]
  verbs: [list, watch]
- apiGroups: [gateway.sluice.dev]
  resources: [gatewayroutes/status, gatewaypolicies/status]
  verbs: [patch]
# Who may use Services of another namespace, where the Gateway API is installed.
- apiGroups: [gateway.networking.k8s.io]
  resources: [referencegrants]
  verbs: [list, watch]
# What has got worse, or well again, for those who watch a namespace.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
# Where their servers are; Endpoints for Services that have no slices.
- apiGroups: [""]
  resources: [services, endpoints]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- end -}}

{{/* Of kinds without namespace; only with rbac.scope cluster. */}}
{{- define "sluice.clusterRules" -}}
# Whether its class is the one that is meant where a route names none.
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  resourceNames: [{{ .Values.ingressClass.name | quote }}]
  verbs: [list, watch]
{{- end -}}

{{/* Of its own namespace, by name. */}}
{{- define "sluice.ownRules" -}}
# The Lease by which the replicas agree on who writes status. It comes with the chart (lease.yaml), so nobody has to be
# allowed to create Leases, which cannot be narrowed to a name.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ printf "sluice-%s" .Values.ingressClass.name | quote }}]
  verbs: [get, update]
{{- if .Values.config }}
# The operator's file.
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [{{ include "sluice.nameFor" (list . "config") | quote }}]
  verbs: [list, watch]
{{- end }}
{{- if .Values.service.enabled }}
# Its own Service: the addresses of the load balancer stand in the status of routes.
- apiGroups: [""]
  resources: [services]
  resourceNames: [{{ include "sluice.fullname" . | quote }}]
  verbs: [get]
{{- end }}
{{- end -}}

{{/* Whether there is a ClusterRole for Sluice. */}}
{{- define "sluice.isClusterScoped" -}}
{{- if eq (default (ternary "namespaces" "cluster" (not (empty .Values.watchNamespaces))) .Values.rbac.scope) "cluster" -}}true{{- end -}}
{{- end -}}

{{- define "sluice.subjects" -}}
- kind: ServiceAccount
  name: {{ include "sluice.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
