{{/* What every pod has in common, within Pod Security "restricted". Takes {root, uid}. */}}
{{- define "order-engine.pod" -}}
serviceAccountName: {{ include "order-engine.fullname" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- $context := dict "runAsNonRoot" true "runAsUser" .uid "runAsGroup" .uid "fsGroup" .uid "fsGroupChangePolicy" "OnRootMismatch" "seccompProfile" (dict "type" "RuntimeDefault") }}
securityContext:
  {{- include "order-engine.overridden" (dict "base" $context "override" .root.Values.podSecurityContext) | nindent 2 }}
{{- end -}}

{{/* A map with its overrides, as YAML; the override "unset" removes a key. Takes {base, override}. */}}
{{- define "order-engine.overridden" -}}
{{- $result := .base -}}
{{- range $key, $value := .override -}}
{{- if eq (toString $value) "unset" -}}
{{- $result = omit $result $key -}}
{{- else -}}
{{- $result = set $result $key (kindIs "float64" $value | ternary (int64 $value) $value) -}}
{{- end -}}
{{- end -}}
{{- toYaml $result -}}
{{- end -}}

{{/* The securityContext of every container. Takes the root. */}}
{{- define "order-engine.confined" -}}
{{- $context := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL")) -}}
{{- include "order-engine.overridden" (dict "base" $context "override" .Values.containerSecurityContext) -}}
{{- end -}}

{{/* Where pods may run. Takes the values of a component. */}}
{{- define "order-engine.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Spreads the pods of one revision over the nodes. Takes {root, component}. */}}
{{- define "order-engine.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "order-engine.selector" . | nindent 8 }}
    # The old pods of a rollout do not count.
    matchLabelKeys: [pod-template-hash]
{{- end -}}

{{/* The init container that waits for the migrations its service needs. Takes {root, service}. */}}
{{- define "order-engine.waiter" -}}
- name: wait-for-migrations
  image: {{ include "order-engine.image" . }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [python, -m, engine_common.migrate, --wait]
  env:
    {{- include "order-engine.env.common" .root | nindent 4 }}
    {{- include "order-engine.env.database" .root | nindent 4 }}
  securityContext:
    {{- include "order-engine.confined" .root | nindent 4 }}
  resources:
    {{- toYaml .root.Values.migrations.resources | nindent 4 }}
  volumeMounts:
    - name: tmp
      mountPath: /tmp
    {{- with include "order-engine.database.mounts" .root }}{{ . | nindent 4 }}{{ end }}
    {{- with include "order-engine.secrets.mounts" (dict "root" .root "component" "migrate") }}{{ . | nindent 4 }}{{ end }}
{{- end -}}

{{/* Mounts and volumes that connections to the database need. */}}
{{- define "order-engine.database.mounts" -}}
{{- if include "order-engine.database.ca" . }}
- name: database-ca
  mountPath: /etc/order-engine/database-ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "order-engine.database.volumes" -}}
{{- if include "order-engine.database.ca" . }}
- name: database-ca
  secret:
    secretName: {{ .Values.database.tls.caSecret }}
    items:
      - key: {{ .Values.database.tls.caKey }}
        path: ca.crt
{{- end }}
{{- end -}}

{{- define "order-engine.database.ca" -}}
{{- if and (not .Values.postgres.enabled) .Values.database.tls.caSecret }}yes{{ end -}}
{{- end -}}
