package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func healthcheckCommand(w world) *cobra.Command {
	var load loader
	var url string
	var timeout time.Duration
	var ready bool
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running server whether it is well",
		Long: "Healthcheck ends with exit code 0 if the server at server.listen answers its liveness probe, or with --ready its\n" +
			"readiness probe, and else with 1. It is for containers that have no shell.",
		Example: "  luminate healthcheck --ready\n  luminate healthcheck --url http://luminate.example:8080",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if url == "" {
				cfg, err := load.load()
				if err != nil {
					return err
				}
				url = "http://" + local(cfg.Server.Listen)
			}
			path := "/-/healthy"
			if ready {
				path = "/-/ready"
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			body, err := probe(ctx, strings.TrimSuffix(url, "/")+path)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), body)
			return nil
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "root of the server's address; by default on this machine, at server.listen")
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether it can serve, and not only whether it is alive")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long to wait for the answer")
	load.addFlags(cmd, w.environ, "server.listen")
	return cmd
}

// local turns an address to listen on into one to connect to.
func local(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func probe(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", &usageError{err}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answers %s: %s", url, resp.Status, strings.TrimSpace(string(body)))
	}
	return string(body), nil
}
