{{/* The volume of a StatefulSet; its labels may never change. Takes {context, persistence}. */}}
{{- define "order-engine.claim" -}}
volumeClaimTemplates:
  - metadata:
      name: data
      labels:
        {{- include "order-engine.selector" .context | nindent 8 }}
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .persistence.storageClass }}
      storageClassName: {{ . }}
      {{- end }}
      resources:
        requests:
          storage: {{ .persistence.size }}
{{- end -}}
