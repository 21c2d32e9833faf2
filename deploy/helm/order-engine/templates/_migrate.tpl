{{/* The spec of the migrate Job. */}}
{{- define "order-engine.migrate.spec" -}}
{{- $context := dict "root" . "component" "migrate" "service" "api" "uid" 10001 -}}
backoffLimit: {{ .Values.migrations.backoffLimit }}
ttlSecondsAfterFinished: {{ .Values.migrations.ttlSecondsAfterFinished }}
template:
  metadata:
    labels:
      {{- include "order-engine.selector" $context | nindent 6 }}
      app.kubernetes.io/version: {{ include "order-engine.version" . | quote }}
  spec:
    {{- include "order-engine.pod" $context | nindent 4 }}
    # Each failure leaves a pod with its log.
    restartPolicy: Never
    {{- with include "order-engine.urls.writer" $context }}
    initContainers:
      {{- . | nindent 6 }}
    {{- end }}
    containers:
      - name: migrate
        image: {{ include "order-engine.image" $context }}
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        command: [python, -m, engine_common.migrate, --patience, {{ .Values.migrations.patienceSeconds | toString | quote }}]
        env:
          {{- include "order-engine.env.common" . | nindent 10 }}
          {{- include "order-engine.env.database" . | nindent 10 }}
        securityContext:
          {{- include "order-engine.confined" . | nindent 10 }}
        resources:
          {{- toYaml .Values.migrations.resources | nindent 10 }}
        volumeMounts:
          - name: tmp
            mountPath: /tmp
          {{- with include "order-engine.database.mounts" . }}{{ . | nindent 10 }}{{ end }}
          {{- with include "order-engine.secrets.mounts" $context }}{{ . | nindent 10 }}{{ end }}
    volumes:
      - name: tmp
        emptyDir: {}
      {{- with include "order-engine.database.volumes" . }}{{ . | nindent 6 }}{{ end }}
      {{- with include "order-engine.secrets.volumes" $context }}{{ . | nindent 6 }}{{ end }}
{{- end -}}

{{/* The Job's name. A Job cannot be changed: the name has a hash of the spec, because only Helm counts revisions. */}}
{{- define "order-engine.migrate.name" -}}
{{- $end := printf "-%s-%d" (include "order-engine.migrate.spec" . | sha256sum | trunc 8) (int .Release.Revision) -}}
{{- $version := regexReplaceAll "[^a-z0-9]+" (.Chart.AppVersion | lower) "-" -}}
{{- /* The Job controller copies the name into a label of 63 characters. */ -}}
{{- printf "%s-migrate-%s" (include "order-engine.fullname" .) $version | trunc (int (sub 63 (len $end))) | trimSuffix "-" }}{{ $end }}
{{- end -}}
