{{/* Refuses values that contradict one another, each by its name; what the schema can say stands there. */}}
{{- define "order-engine.checks" -}}
{{- $v := .Values -}}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" (include "order-engine.fullname" .)) -}}
{{- fail (printf "release name %q: it begins the names of Services, so give one that begins with a letter and has letters, digits and dashes alone" .Release.Name) -}}
{{- end -}}
{{- if has (index (splitList "/" $v.jaeger.basePath) 1) (list "api" "orders" "ws" "livez" "readyz" "health" "openapi.json") -}}
{{- fail (printf "jaeger.basePath: the api answers under %s; give a path of which it has none, such as /jaeger" $v.jaeger.basePath) -}}
{{- end -}}
{{- if and (not $v.postgres.enabled) (not $v.database.existingSecret) -}}
{{- fail "database.existingSecret is empty and postgres.enabled is false: name a Secret with the URL of a PostgreSQL, or enable postgres" -}}
{{- end -}}
{{- if and $v.postgres.enabled $v.database.existingSecret -}}
{{- fail "database.existingSecret is set and postgres.enabled is true: set postgres.enabled=false to use that database" -}}
{{- end -}}
{{- if and (not $v.valkey.enabled) (not $v.redis.existingSecret) -}}
{{- fail "redis.existingSecret is empty and valkey.enabled is false: name a Secret with the URL of a Redis or Valkey, or enable valkey" -}}
{{- end -}}
{{- if and $v.valkey.enabled $v.redis.existingSecret -}}
{{- fail "redis.existingSecret is set and valkey.enabled is true: set valkey.enabled=false to use that server" -}}
{{- end -}}
{{- if and (not $v.mockdex.enabled) (not $v.dex.url) (not $v.dex.existingSecret) -}}
{{- fail "dex.url and dex.existingSecret are empty and mockdex.enabled is false: give the URL of venues and chain, name a Secret that holds it, or enable mockdex" -}}
{{- end -}}
{{- range $path, $node := dict "dex" $v.dex "dex.fallback" $v.dex.fallback -}}
{{- if and $node.url $node.existingSecret -}}
{{- fail (printf "%s.existingSecret and %s.url are both set: remove one of them" $path $path) -}}
{{- end -}}
{{- if and $v.mockdex.enabled (or $node.url $node.existingSecret) -}}
{{- fail (printf "%s.%s is set and mockdex.enabled is true: set mockdex.enabled=false to trade there" $path (ternary "url" "existingSecret" (not (empty $node.url)))) -}}
{{- end -}}
{{- end -}}
{{- if and $v.jaeger.enabled $v.otel.endpoint -}}
{{- fail "otel.endpoint is set and jaeger.enabled is true: set jaeger.enabled=false to send traces there" -}}
{{- end -}}
{{- $secrets := include "order-engine.secret.volumes.reserved" . | fromYamlArray -}}
{{- range $component := list "api" "worker" "mockdex" -}}
{{- range (get $v $component).extraVolumes -}}
{{- if has .name (concat (list "tmp" "data" "api-keys" "database-ca") $secrets) -}}
{{- fail (printf "%s.extraVolumes: the chart has a volume %q itself; choose another name" $component .name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := (get $v $component).podLabels -}}
{{- if has $name (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version") -}}
{{- fail (printf "%s.podLabels.%s: the chart sets this label, and Services select pods by it; choose another name" $component $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.otel.headers.existingSecret (not $v.otel.endpoint) -}}
{{- fail "otel.headers.existingSecret is set without otel.endpoint: set the endpoint that takes the headers, or leave the Secret empty" -}}
{{- end -}}
{{- if $v.otel.headers.existingSecret -}}
{{- range $component := list "api" "worker" "mockdex" -}}
{{- range $name := list "OTEL_EXPORTER_OTLP_HEADERS" "OTEL_EXPORTER_OTLP_HEADERS_FILE" -}}
{{- if hasKey ((get $v $component).env | default dict) $name -}}
{{- fail (printf "%s.env.%s: the chart sets the headers from otel.headers.existingSecret; remove one of them" $component $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.database.tls.caSecret (not $v.database.tls.mode) -}}
{{- fail "database.tls.caSecret is set without database.tls.mode: set the mode to verify-full or verify-ca, or the certificate is not checked" -}}
{{- end -}}
{{- range $component := list "api" "worker" -}}
{{- $scaling := (get $v $component).autoscaling -}}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- fail (printf "%s.autoscaling.minReplicas (%d) is above %s.autoscaling.maxReplicas (%d)" $component (int $scaling.minReplicas) $component (int $scaling.maxReplicas)) -}}
{{- end -}}
{{- if and $scaling.enabled (not (dig "requests" "cpu" "" ((get $v $component).resources))) -}}
{{- fail (printf "%s.autoscaling.enabled needs %s.resources.requests.cpu: utilization is a share of it" $component $component) -}}
{{- end -}}
{{- end -}}
{{- include "order-engine.checks.environment" . -}}
{{- if eq $v.environment "production" -}}
{{- include "order-engine.checks.production" . -}}
{{- end -}}
{{- end -}}

{{/* A variable that stands twice in a pod cannot be applied. */}}
{{- define "order-engine.checks.environment" -}}
{{- $everywhere := list "ENV" "LOG_LEVEL" "METRICS_HOST" "METRICS_PORT" "OTEL_RESOURCE_ATTRIBUTES" "OTEL_EXPORTER_OTLP_ENDPOINT" "OTEL_EXPORTER_OTLP_PROTOCOL" "POD_NAME" "POD_NAMESPACE" -}}
{{- $stores := list "DATABASE_URL" "DATABASE_PASSWORD" "ALLOW_PLAINTEXT_DATABASE" "PGSSLMODE" "PGSSLROOTCERT" "REDIS_URL" "REDIS_PASSWORD" -}}
{{- $own := dict
  "api" (concat $everywhere $stores (list "API_HOST" "API_PORT" "API_KEYS_FILE"))
  "worker" (concat $everywhere $stores (list "DEX_FALLBACK_URL" "DEX_URL" "ENGINE_WALLET_KEY"))
  "mockdex" (concat $everywhere (list "MOCKDEX_HOST" "MOCKDEX_PORT" "MOCK_DEX_DATA_DIR" "MOCK_DEX_ADMIN_TOKEN")) -}}
{{- $v := .Values -}}
{{- range $component, $names := $own -}}
{{- $of_jaeger := ternary (list "OTEL_METRICS_EXPORTER" "OTEL_BSP_SCHEDULE_DELAY") list $v.jaeger.enabled -}}
{{- range $name, $_ := (get $v $component).env -}}
{{- if or (has $name $names) (has (trimSuffix "_FILE" $name) $names) -}}
{{- fail (printf "%s.env.%s: the chart sets this variable from other values" $component $name) -}}
{{- end -}}
{{- if has $name $of_jaeger -}}
{{- fail (printf "%s.env.%s: the chart sets this variable while jaeger.enabled is true" $component $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- /* A name like ours that no setting has would be a limit that nobody keeps. */ -}}
{{- $settings := dict
  "api" (list "ACCESS_LOG" "ALLOWED_ORIGINS" "API_KEYS" "CLIENT_PATIENCE_S" "DATABASE_PATIENCE_S" "ENGINE_MAX_PENDING_PER_ACCOUNT" "ENGINE_MAX_UNFINISHED" "MAX_SOCKETS_PER_ACCOUNT" "RATE_LIMIT_READS" "RATE_LIMIT_WRITES")
  "worker" (list "ENGINE_DEX_PATIENCE_S" "ENGINE_DRAIN_S" "ENGINE_LEASE_S" "ENGINE_MAX_ATTEMPTS" "ENGINE_MAX_IN_FLIGHT" "ENGINE_RETRY_BASE_MS") -}}
{{- $rates := list "DROP_RATE" "EXECUTION_DELAY_MS" "FAILURE_RATE" "FORCE_FAIL" "LATE_LANDING_RATE" "NEVER_LANDS_RATE" "NO_LIQUIDITY_RATE" "QUOTE_DELAY_MS" "QUOTE_ERROR_RATE" "QUOTE_TIMEOUT_RATE" "RATE_LIMIT_RATE" "REPLY_LOST_RATE" -}}
{{- $of_mock := list "MOCK_FAIL_RATE" "MOCK_DEX_BLOCK_MS" "MOCK_DEX_RPC_API_KEY" "MOCK_DEX_RPC_ERROR_RATE" "MOCK_DEX_RPC_MAX_BATCH" "MOCK_DEX_RPC_MAX_BODY_BYTES" "MOCK_DEX_RPC_RATE_LIMIT" "MOCK_DEX_SEED" "MOCK_DEX_STALE_STATUS_RATE" "MOCK_DEX_TRANSACTION_PRUNED_RATE" "MOCK_DEX_VALID_BLOCKS" -}}
{{- range $rate := $rates -}}
{{- range $venue := list "" "_METEORA" "_RAYDIUM" -}}
{{- $of_mock = append $of_mock (printf "MOCK_DEX_%s%s" $rate $venue) -}}
{{- end -}}
{{- end -}}
{{- $settings = set $settings "mockdex" $of_mock -}}
{{- range $component, $names := $settings -}}
{{- range $name, $_ := (get $v $component).env -}}
{{- if and (regexMatch "^(ACCESS|ALLOWED|API|CLIENT|DATABASE|DEX|ENGINE|MAX_SOCKETS|METRICS|MOCK|MOCKDEX|MOCK_DEX|RATE_LIMIT|REDIS)_" $name) (not (has $name $names)) -}}
{{- fail (printf "%s.env.%s: %s has no such setting; it has %s" $component $name $component (join ", " $names)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with (dig "ENGINE_DRAIN_S" 0 (.Values.worker.env | default dict)) -}}
{{- if and (not (kindIs "map" .)) (gt (float64 .) 20.0) -}}
{{- fail "worker.env.ENGINE_DRAIN_S: more than 20 seconds do not fit into the pod's grace period of 30" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "order-engine.checks.production" -}}
{{- $v := .Values -}}
{{- if $v.postgres.enabled -}}
{{- fail "postgres.enabled: the chart's PostgreSQL is for development only (one server, no TLS, no backups); with environment=production set it to false and database.existingSecret to a Secret with a URL" -}}
{{- end -}}
{{- if $v.valkey.enabled -}}
{{- fail "valkey.enabled: the chart's Valkey is for development only (one server, no TLS); with environment=production set it to false and redis.existingSecret to a Secret with a URL" -}}
{{- end -}}
{{- if not $v.apiKeys.existingSecret -}}
{{- fail "apiKeys.existingSecret is empty: with environment=production name a Secret with the API keys, or everybody may trade" -}}
{{- end -}}
{{- if and $v.mockdex.enabled $v.mockdex.admin.enabled -}}
{{- fail "mockdex.admin.enabled: with environment=production set it to false; it opens /admin, which changes prices, delays and faults at run time" -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.tls) (not $v.ingress.tlsTerminatedElsewhere) -}}
{{- fail "ingress.tls is empty: with environment=production name a certificate, or API keys cross the network in clear; set ingress.tlsTerminatedElsewhere=true if TLS ends elsewhere" -}}
{{- end -}}
{{- if and $v.ingress.enabled $v.jaeger.enabled $v.jaeger.expose -}}
{{- fail "jaeger.expose: with environment=production set it to false; Jaeger has no passwords, and the ingress would publish it" -}}
{{- end -}}
{{- end -}}
