package server

import (
	"net/http"
	"regexp"
)

// A cors lets pages of other origins use a route in a browser. It sends what Prometheus sends: no credentials, and no
// header that names a tenant.
type cors struct{ origin *regexp.Regexp }

// wrap returns next itself if c is nil.
func (c *cors) wrap(next http.Handler) http.Handler {
	if c == nil {
		return next
	}
	everyone := c.origin.String() == "^(?s:.*)$"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); origin != "" && c.origin.MatchString(origin) {
			h.Set("Access-Control-Allow-Origin", origin)
			if everyone {
				h.Set("Access-Control-Allow-Origin", "*")
			}
			h.Set("Access-Control-Allow-Headers", "Accept, Authorization, Content-Type, Origin")
			h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
			h.Set("Access-Control-Expose-Headers", "Date")
		}
		next.ServeHTTP(w, r)
	})
}
