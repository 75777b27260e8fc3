package evidence

import (
	_ "embed"
	"io"
	"text/template"
)

//go:embed README.txt.tmpl
var readmeSource string

var readme = template.Must(template.New("README.txt").Parse(readmeSource))

func writeReadme(w io.Writer, m *Manifest, files []File) error {
	return readme.Execute(w, struct {
		*Manifest
		Files []File
	}{m, files})
}
