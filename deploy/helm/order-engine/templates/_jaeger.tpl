{{- define "order-engine.jaeger.config" -}}
{{- $host := eq .Values.bindAddress "::" | ternary "[::]" "0.0.0.0" -}}
service:
  extensions: [healthcheckv2, jaeger_storage, jaeger_query]
  pipelines:
    traces:
      receivers: [otlp]
      # Refuses what its memory has no room for, before the batches are made.
      processors: [memory_limiter, batch]
      exporters: [jaeger_storage_exporter]
  telemetry:
    metrics:
      level: none
extensions:
  healthcheckv2:
    use_v2: true
    http:
      endpoint: {{ printf "%s:13133" $host | squote }}
  jaeger_storage:
    backends:
      memory:
        memory:
          max_traces: {{ .Values.jaeger.maxTraces | int64 }}
  jaeger_query:
    base_path: {{ .Values.jaeger.basePath }}
    storage:
      traces: memory
    grpc:
      endpoint: {{ printf "%s:16685" $host | squote }}
    http:
      endpoint: {{ printf "%s:16686" $host | squote }}
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: {{ printf "%s:4317" $host | squote }}
      http:
        endpoint: {{ printf "%s:4318" $host | squote }}
processors:
  memory_limiter:
    check_interval: 1s
    limit_percentage: 85
    spike_limit_percentage: 10
  batch: {}
exporters:
  jaeger_storage_exporter:
    trace_storage: memory
{{- end -}}
