{{/* Begins the name of every object; short enough that a Job's suffix keeps it a label. */}}
{{- define "order-engine.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Port of a URL, by its scheme where it names none. Takes the URL. */}}
{{- define "order-engine.port" -}}
{{- $url := urlParse . -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}

{{/* Whether `helm test` may place its order; a production release has to say so. */}}
{{- define "order-engine.tested" -}}
{{- if kindIs "invalid" .Values.test.enabled | ternary (ne .Values.environment "production") .Values.test.enabled }}yes{{ end -}}
{{- end -}}

{{/* Labels by which pods are selected; they never change. Takes {root, component}. */}}
{{- define "order-engine.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of objects. Takes {root, component}. */}}
{{- define "order-engine.labels" -}}
{{ include "order-engine.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Name, namespace and labels of an object. Takes {root, component}. */}}
{{- define "order-engine.metadata" -}}
name: {{ include "order-engine.fullname" .root }}-{{ .component }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "order-engine.labels" . | nindent 2 }}
{{- end -}}

{{/* Image of one of our services. Takes {root, service}. */}}
{{- define "order-engine.image" -}}
{{- with .root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
order-engine-{{ .service }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}
