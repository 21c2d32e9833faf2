{{/* Environment variables. Passwords stay in their Secrets: Kubernetes expands $(VAR) when it starts the container.
With `secretsAsFiles` they are in files alone (_secrets.tpl). */}}

{{- define "order-engine.env.common" -}}
- name: ENV
  value: {{ .Values.environment }}
- name: LOG_LEVEL
  value: {{ .Values.logLevel }}
{{- end -}}

{{- define "order-engine.env.database" -}}
{{- if and .Values.postgres.enabled .Values.secretsAsFiles }}
- name: DATABASE_URL_FILE
  value: /etc/order-engine/urls/DATABASE_URL
{{- else if .Values.postgres.enabled }}
- name: DATABASE_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .Values.postgres.existingSecret }}
      key: {{ .Values.postgres.passwordKey }}
- name: DATABASE_URL
  value: postgresql://engine:$(DATABASE_PASSWORD)@{{ include "order-engine.fullname" . }}-postgres:5432/engine
{{- else }}
{{- include "order-engine.env.secret" (dict "root" . "name" "DATABASE_URL" "secret" .Values.database.existingSecret "key" .Values.database.key) }}
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
{{- if and .Values.valkey.enabled .Values.secretsAsFiles }}
- name: REDIS_URL_FILE
  value: /etc/order-engine/urls/REDIS_URL
{{- else if .Values.valkey.enabled }}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .Values.valkey.existingSecret }}
      key: {{ .Values.valkey.passwordKey }}
- name: REDIS_URL
  value: redis://:$(REDIS_PASSWORD)@{{ include "order-engine.fullname" . }}-valkey:6379/0
{{- else }}
{{- include "order-engine.env.secret" (dict "root" . "name" "REDIS_URL" "secret" .Values.redis.existingSecret "key" .Values.redis.key) }}
{{- end }}
{{- end -}}

{{/* Where venues and chain are. */}}
{{- define "order-engine.env.dex" -}}
{{- $dex := .Values.dex }}
{{- if $dex.existingSecret }}
{{- include "order-engine.env.secret" (dict "root" . "name" "DEX_URL" "secret" $dex.existingSecret "key" $dex.key) }}
{{- else }}
- name: DEX_URL
  value: {{ if .Values.mockdex.enabled }}http://{{ include "order-engine.fullname" . }}-mockdex:4000{{ else }}{{ $dex.url }}{{ end }}
{{- end }}
{{- if $dex.fallback.existingSecret }}
{{- include "order-engine.env.secret" (dict "root" . "name" "DEX_FALLBACK_URL" "secret" $dex.fallback.existingSecret "key" $dex.fallback.key) }}
{{- else if $dex.fallback.url }}
- name: DEX_FALLBACK_URL
  value: {{ $dex.fallback.url }}
{{- end }}
{{- end -}}

{{/* Probes and metrics, and where spans go. */}}
{{- define "order-engine.env.telemetry" -}}
- name: METRICS_PORT
  value: "9464"
{{- with .Values.bindAddress }}
- name: METRICS_HOST
  value: {{ . | quote }}
{{- end }}
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
{{- with .Values.otel.headers }}
{{- if .existingSecret }}
{{- include "order-engine.env.secret" (dict "root" $ "name" "OTEL_EXPORTER_OTLP_HEADERS" "secret" .existingSecret "key" .key) }}
{{- end }}
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
