package server

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
)

//go:embed assets/index.html
var indexSource string

//go:embed assets/luminate.css
var styleSource []byte

const stylePath = "/assets/luminate.css"

// A page is what the server shows to people who open its address in a browser.
type page struct{ html []byte }

func newPage(version string) (*page, error) {
	t, err := template.New("index").Parse(indexSource)
	if err != nil {
		return nil, fmt.Errorf("server: page: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, map[string]string{"Version": version, "Style": stylePath}); err != nil {
		return nil, fmt.Errorf("server: page: %w", err)
	}
	return &page{b.Bytes()}, nil
}

func (p *page) serve(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(p.html) // A client that has gone away is no failure of ours.
}

func (*page) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(styleSource)
}
