{{/* Environment variables. Passwords stay in their Secrets: Kubernetes expands $(VAR) when it starts the container. */}}

{{- define "order-engine.env.common" -}}
- name: ENV
  value: {{ .Values.environment }}
- name: LOG_LEVEL
  value: {{ .Values.logLevel }}
{{- end -}}

{{- define "order-engine.env.database" -}}
{{- if .Values.postgres.enabled }}
- name: DATABASE_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .Values.postgres.existingSecret }}
      key: {{ .Values.postgres.passwordKey }}
- name: DATABASE_URL
  value: postgresql://engine:$(DATABASE_PASSWORD)@{{ include "order-engine.fullname" . }}-postgres:5432/engine
{{- else }}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.existingSecret }}
      key: {{ .Values.database.key }}
{{- with .Values.database.tls.mode }}
- name: PGSSLMODE
  value: {{ . }}
{{- end }}
{{- if include "order-engine.database.ca" . }}
- name: PGSSLROOTCERT
  value: /etc/order-engine/database-ca/ca.crt
{{- end }}
{{- if .Values.database.allowPlaintext }}
- name: ALLOW_PLAINTEXT_DATABASE
  value: "true"
{{- end }}
{{- end }}
{{- end -}}

{{- define "order-engine.env.redis" -}}
{{- if .Values.valkey.enabled }}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .Values.valkey.existingSecret }}
      key: {{ .Values.valkey.passwordKey }}
- name: REDIS_URL
  value: redis://:$(REDIS_PASSWORD)@{{ include "order-engine.fullname" . }}-valkey:6379/0
{{- else }}
- name: REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.redis.existingSecret }}
      key: {{ .Values.redis.key }}
{{- end }}
{{- end -}}

{{/* Probes and metrics, and where spans go. */}}
{{- define "order-engine.env.telemetry" -}}
- name: METRICS_PORT
  value: "9464"
{{- $endpoint := .Values.otel.endpoint }}
{{- if .Values.jaeger.enabled }}
{{- $endpoint = printf "http://%s-jaeger:4318" (include "order-engine.fullname" .) }}
# Jaeger takes traces alone.
- name: OTEL_METRICS_EXPORTER
  value: none
# Milliseconds: it is looked at right after the order.
- name: OTEL_BSP_SCHEDULE_DELAY
  value: "1000"
{{- end }}
{{- if $endpoint }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.pod.name=$(POD_NAME),k8s.namespace.name=$(POD_NAMESPACE),service.instance.id=$(POD_NAME),deployment.environment.name={{ .Values.environment }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ $endpoint }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: http/protobuf
{{- with .Values.otel.headers.existingSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.Values.otel.headers.key }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The variables of a component's `env`; numbers as people write them, not as 2e+06. Takes the map. */}}
{{- define "order-engine.env.further" -}}
{{- range $name, $value := . }}
{{- if kindIs "map" $value }}
- name: {{ $name }}
  valueFrom:
    {{- toYaml $value.valueFrom | nindent 4 }}
{{- else }}
{{- if and (kindIs "float64" $value) (eq (floor $value) $value) }}
{{- $value = int64 $value }}
{{- end }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}
{{- end -}}
