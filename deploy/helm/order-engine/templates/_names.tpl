{{/* The prefix of every object's name, at most 40 characters. A longer one ends with its hash, which keeps it unique. */}}
{{- define "order-engine.fullname" -}}
{{- $name := contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) -}}
{{- if gt (len $name) 40 -}}
{{- printf "%s-%s" ($name | trunc 31 | trimSuffix "-") (sha256sum $name | trunc 8) -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{/* The version that runs, as a label: the images' tag. A label is shorter and begins and ends with a letter or digit. */}}
{{- define "order-engine.version" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion | replace "+" "_" -}}
{{- regexReplaceAll "[-._]+$" (regexReplaceAll "^[-._]+" $tag "" | trunc 63) "" | default "unknown" -}}
{{- end -}}

{{/* Port of a URL, by its scheme where it names none. Takes the URL. */}}
{{- define "order-engine.port" -}}
{{- $url := urlParse . -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) -}}
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
app.kubernetes.io/version: {{ include "order-engine.version" .root | quote }}
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
order-engine-{{ .service }}
{{- with get .root.Values.image.digests .service }}@{{ . }}{{ else }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end -}}
