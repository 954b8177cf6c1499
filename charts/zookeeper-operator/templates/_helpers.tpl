{{- define "zookeeper-operator.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "zookeeper-operator.selector" -}}
app.kubernetes.io/name: zookeeper-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "zookeeper-operator.labels" -}}
{{ include "zookeeper-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "zookeeper-operator.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "zookeeper-operator.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "zookeeper-operator.fullname" .) }}
{{- end -}}

{{- /* What the operator may do in a namespace that it looks after, and no more. */ -}}
{{- define "zookeeper-operator.rules" -}}
- apiGroups: [zookeeper.ensemble.dev]
  resources: [zookeeperclusters]
  verbs: [get, list, watch]
- apiGroups: [zookeeper.ensemble.dev]
  resources: [zookeeperclusters/status]
  verbs: [patch]
# Owner references that block deletion need this where the API server checks them.
- apiGroups: [zookeeper.ensemble.dev]
  resources: [zookeeperclusters/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch]
# Members' own services go when they are no longer asked for.
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
# The superuser's and the users' passwords, what members know of them, and what applications bind to.
# Without list and watch, the operator reads only the Secrets whose names it knows.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch]
# Deleting (without its pods) is how its volume templates are changed when volumes grow.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- /* The namespaces to look after, joined by commas; empty: all of them. */ -}}
{{- define "zookeeper-operator.watchNamespaces" -}}
{{- $one := list .Values.watchNamespace | compact -}}
{{- concat $one .Values.watchNamespaces | uniq | sortAlpha | join "," -}}
{{- end -}}
