{{- define "shared" }}
- x: 1
{{- end }}
{{- define "flow" }}
{{- /* a remark
key: over lines */ -}}
{
"a": "b"
}
{{- end }}
