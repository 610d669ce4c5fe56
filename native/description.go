package native

import (
	_ "embed" // For the description of the API.
	"net/http"
)

// description is the OpenAPI description of the native API, which GET /luminate/v1/openapi.yaml answers.
//
//go:embed openapi.yaml
var description []byte

func serveDescription(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml") // RFC 9512.
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// A client that has gone away is no failure of ours.
	_, _ = w.Write(description)
}
