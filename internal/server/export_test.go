package server

import (
	"net/http"
	"time"
)

// Limits are the bounds of the HTTP server that protect it from clients.
type Limits struct {
	ReadHeader, Read, Write, Idle time.Duration
	MaxHeader                     int
}

// HTTPLimits returns the bounds of s.
func HTTPLimits(s *Server) Limits {
	return Limits{s.http.ReadHeaderTimeout, s.http.ReadTimeout, s.http.WriteTimeout, s.http.IdleTimeout, s.http.MaxHeaderBytes}
}

// HTTPServer returns the HTTP server of s.
func HTTPServer(s *Server) *http.Server { return s.http }
