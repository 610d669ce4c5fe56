package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/luminate-metrics/luminate/config"
)

// reachable turns the address of a listener into one that a client on this machine can use.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// announce tells people where the server is and what to type. It keeps out of logs that machines read.
func (m *Main) announce() {
	if m.cfg.Log.Format == "json" {
		return
	}
	url := m.URL()
	var b strings.Builder
	line := func(what, text string) { fmt.Fprintf(&b, "  %-14s %s\n", what, text) }
	fmt.Fprintf(&b, "\nLuminate %s is ready at %s\n\n", buildVersion(), url)
	line("remote write", url+"/api/v1/write")
	line("remote read", url+"/api/v1/read")
	line("Prometheus API", url+"/api/v1/query (in Grafana: a data source of type Prometheus with the URL "+url+")")
	line("native API", url+"/luminate/v1/metrics, "+url+"/luminate/v1/query")
	line("health", url+"/-/ready, "+url+"/metrics")
	line("data", m.whereData())
	b.WriteString("\nTry:\n\n")
	header := ""
	if m.cfg.Auth.Mode == config.AuthJWT {
		// As this program was called: make run starts one that is not in the PATH.
		fmt.Fprintf(&b, "  TOKEN=$(%s token mint --tenant %s --scopes read,write --ttl 1h)\n", os.Args[0], m.cfg.SelfMetrics.Tenant)
		header = ` -H "Authorization: Bearer $TOKEN"`
	} else if m.cfg.Auth.Mode == config.AuthHeader && m.cfg.SelfMetrics.Tenant != m.cfg.Auth.DefaultTenant {
		header = " -H 'X-Scope-OrgID: " + m.cfg.SelfMetrics.Tenant + "'"
	}
	if !m.cfg.SelfMetrics.Enabled {
		fmt.Fprintf(&b, "  curl%s %s/luminate/v1/metrics -d '{\"name\":\"up\",\"value\":1,\"timestamp\":'$(date +%%s000)'}'\n", header, url)
	}
	fmt.Fprintf(&b, "  curl%s '%s/api/v1/query?query=up'\n\n", header, url)
	fmt.Fprint(m.stdout, b.String())
}

func (m *Main) whereData() string {
	if m.cfg.Storage.Backend == config.BackendMemory {
		return "in memory: gone when the server stops"
	}
	return m.cfg.Storage.Badger.Path
}
