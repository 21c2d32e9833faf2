{{/* Where processes read their secrets: variables that come from a Secret, or with `secretsAsFiles` files, which
variables name. A file has the directory /etc/order-engine/VOLUME, and VOLUME is the variable's name. */}}

{{/* The variable of one Secret. Takes {root, name, secret, key}. */}}
{{- define "order-engine.env.secret" -}}
{{- if .root.Values.secretsAsFiles }}
- name: {{ .name }}_FILE
  value: /etc/order-engine/{{ include "order-engine.secret.volume" .name }}/value
{{- else }}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
{{- end }}
{{- end -}}

{{- define "order-engine.secret.volume" -}}
{{- lower . | replace "_" "-" -}}
{{- end -}}

{{/* The names of the volumes that a component has for its secrets, in either mode. Takes the component. */}}
{{- define "order-engine.secret.volumes.reserved" -}}
{{- range list "DATABASE_URL" "REDIS_URL" "OTEL_EXPORTER_OTLP_HEADERS" "ENGINE_WALLET_KEY" "DEX_URL" "DEX_FALLBACK_URL" "MOCK_DEX_ADMIN_TOKEN" "DATABASE_PASSWORD" "REDIS_PASSWORD" }}
- {{ include "order-engine.secret.volume" . }}
{{- end }}
- urls
{{- end -}}

{{/* The Secrets of a component's main container, as a list of {name, secret, key}. Takes {root, component}. */}}
{{- define "order-engine.secrets" -}}
{{- $v := .root.Values -}}
{{- $found := list -}}
{{- if and (has .component (list "migrate" "api" "worker")) (not $v.postgres.enabled) -}}
{{- $found = append $found (dict "name" "DATABASE_URL" "secret" $v.database.existingSecret "key" $v.database.key) -}}
{{- end -}}
{{- if and (has .component (list "api" "worker")) (not $v.valkey.enabled) -}}
{{- $found = append $found (dict "name" "REDIS_URL" "secret" $v.redis.existingSecret "key" $v.redis.key) -}}
{{- end -}}
{{- if eq .component "worker" -}}
{{- $found = append $found (dict "name" "ENGINE_WALLET_KEY" "secret" $v.wallet.existingSecret "key" $v.wallet.key) -}}
{{- with $v.dex.existingSecret -}}
{{- $found = append $found (dict "name" "DEX_URL" "secret" . "key" $v.dex.key) -}}
{{- end -}}
{{- with $v.dex.fallback.existingSecret -}}
{{- $found = append $found (dict "name" "DEX_FALLBACK_URL" "secret" . "key" $v.dex.fallback.key) -}}
{{- end -}}
{{- end -}}
{{- if and (eq .component "mockdex") $v.mockdex.admin.enabled -}}
{{- $found = append $found (dict "name" "MOCK_DEX_ADMIN_TOKEN" "secret" $v.mockdex.admin.existingSecret "key" $v.mockdex.admin.key) -}}
{{- end -}}
{{- if and (has .component (list "api" "worker" "mockdex")) $v.otel.headers.existingSecret -}}
{{- $found = append $found (dict "name" "OTEL_EXPORTER_OTLP_HEADERS" "secret" $v.otel.headers.existingSecret "key" $v.otel.headers.key) -}}
{{- end -}}
{{- if and (eq .component "test") $v.test.apiKey.existingSecret -}}
{{- $found = append $found (dict "name" "API_KEY" "secret" $v.test.apiKey.existingSecret "key" $v.test.apiKey.key) -}}
{{- end -}}
{{- if eq .component "postgres" -}}
{{- $found = append $found (dict "name" "POSTGRES_PASSWORD" "secret" $v.postgres.existingSecret "key" $v.postgres.passwordKey) -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{/* The passwords of the chart's databases that a component needs, in the same form. Takes {root, component}. */}}
{{- define "order-engine.passwords" -}}
{{- $v := .root.Values -}}
{{- $found := list -}}
{{- if and (has .component (list "migrate" "api" "worker")) $v.postgres.enabled -}}
{{- $found = append $found (dict "name" "DATABASE_PASSWORD" "secret" $v.postgres.existingSecret "key" $v.postgres.passwordKey) -}}
{{- end -}}
{{- if and (has .component (list "api" "worker")) $v.valkey.enabled -}}
{{- $found = append $found (dict "name" "REDIS_PASSWORD" "secret" $v.valkey.existingSecret "key" $v.valkey.passwordKey) -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{/* Mounts of a component's main container. Takes {root, component}. */}}
{{- define "order-engine.secrets.mounts" -}}
{{- if .root.Values.secretsAsFiles }}
{{- include "order-engine.secrets.mounts.each" (include "order-engine.secrets" . | fromYamlArray) }}
{{- if include "order-engine.passwords" . | fromYamlArray }}
- name: urls
  mountPath: /etc/order-engine/urls
  readOnly: true
{{- end }}
{{- end }}
{{- end -}}

{{- define "order-engine.secrets.mounts.each" -}}
{{- range . }}
- name: {{ include "order-engine.secret.volume" .name }}
  mountPath: /etc/order-engine/{{ include "order-engine.secret.volume" .name }}
  readOnly: true
{{- end }}
{{- end -}}

{{/* Volumes of a component's pod. Takes {root, component}. */}}
{{- define "order-engine.secrets.volumes" -}}
{{- if .root.Values.secretsAsFiles }}
{{- $passwords := include "order-engine.passwords" . | fromYamlArray }}
{{- range concat (include "order-engine.secrets" . | fromYamlArray) $passwords }}
- name: {{ include "order-engine.secret.volume" .name }}
  secret:
    secretName: {{ .secret }}
    # The kubelet gives the files to root and to the pod's fsGroup.
    defaultMode: 0440
    items:
      - key: {{ .key }}
        path: value
{{- end }}
{{- if $passwords }}
- name: urls
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- end }}
{{- end }}
{{- end -}}

{{/* The init container that writes the URLs of the chart's databases, whose Secret has passwords alone. Takes {root,
component}; empty where no such URL is needed. */}}
{{- define "order-engine.urls.writer" -}}
{{- $passwords := include "order-engine.passwords" . | fromYamlArray -}}
{{- if and .root.Values.secretsAsFiles $passwords -}}
{{- $name := include "order-engine.fullname" .root -}}
{{- $templates := dict "DATABASE_PASSWORD" (printf "postgresql://engine:PASSWORD@%s-postgres:5432/engine" $name) "REDIS_PASSWORD" (printf "redis://:PASSWORD@%s-valkey:6379/0" $name) -}}
- name: write-urls
  image: {{ include "order-engine.image" . }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [python, -c]
  args:
    - |
      {{- .root.Files.Get "files/write_urls.py" | nindent 6 }}
  env:
    - name: URLS_DIRECTORY
      value: /etc/order-engine/urls
    {{- range $passwords }}
    - name: {{ .name | replace "PASSWORD" "URL_TEMPLATE" }}
      value: {{ get $templates .name }}
    {{- include "order-engine.env.secret" (merge (dict "root" $.root) .) | nindent 4 }}
    {{- end }}
  securityContext:
    {{- include "order-engine.confined" .root | nindent 4 }}
  resources:
    {{- toYaml .root.Values.migrations.resources | nindent 4 }}
  volumeMounts:
    {{- include "order-engine.secrets.mounts.each" $passwords | nindent 4 }}
    - name: urls
      mountPath: /etc/order-engine/urls
{{- end -}}
{{- end -}}
