{{- define "search.name" -}}
{{ .Release.Name }}-search
{{- end }}
{{- define "search.labels" -}}
app.kubernetes.io/name: search
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
