package process

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Names of the variables that say where the real Prometheus and promtool are.
const (
	PrometheusVariable = "LUMINATE_PROMETHEUS"
	PromtoolVariable   = "LUMINATE_PROMTOOL"
)

var (
	listening = regexp.MustCompile(`msg="Listening on".* address=(127\.0\.0\.1:[1-9][0-9]*)`)
	loopback  = regexp.MustCompile(`127\.0\.0\.1:[1-9][0-9]*`)
)

// Root returns the directory of the project: the one with go.mod, from the working directory upwards.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("process: find the project: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("process: find the project: no go.mod in the working directory or above it")
		}
		dir = parent
	}
}

// Prometheus returns the path of the real Prometheus.
func Prometheus() (string, error) { return installed("prometheus", PrometheusVariable) }

// Promtool returns the path of the real promtool.
func Promtool() (string, error) { return installed("promtool", PromtoolVariable) }

// installed looks for a program that make test installs.
func installed(name, variable string) (string, error) {
	if p := os.Getenv(variable); p != "" {
		return p, nil
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	p := filepath.Join(root, ".cache", "bin", name)
	if _, err := os.Stat(p); err != nil {
		return "", fmt.Errorf("%s is not there: `make test` installs it, or set %s to one that you have", p, variable)
	}
	return p, nil
}

// Build compiles the server into dir and returns its path.
func Build(ctx context.Context, dir string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "luminate")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", bin, "./cmd/luminate")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("process: go build ./cmd/luminate: %w\n%s", err, out)
	}
	return bin, nil
}

// StartLuminate runs the server on a free port with its data below dir. The settings are variables NAME=value.
func StartLuminate(ctx context.Context, bin, dir string, settings ...string) (*Process, error) {
	return Start(ctx, Luminate(bin, dir, settings...))
}

// Luminate says how to run the server on a free port with its data below dir. The settings are variables NAME=value.
func Luminate(bin, dir string, settings ...string) Spec {
	return Spec{
		Path: bin,
		Dir:  dir,
		Args: []string{"server"},
		Env: append([]string{
			"LUMINATE_SERVER_LISTEN=127.0.0.1:0",
			"LUMINATE_STORAGE_BACKEND=badger",
			"LUMINATE_STORAGE_BADGER_PATH=" + filepath.Join(dir, "data"),
		}, settings...),
		Address: func(line string) (string, bool) {
			addr := loopback.FindString(line)
			return addr, addr != ""
		},
		Ready: "/-/ready",
	}
}

// StartPrometheus runs a real Prometheus on a free port with its files below dir.
func StartPrometheus(ctx context.Context, dir, config string, flags ...string) (*Process, error) {
	bin, err := Prometheus()
	if err != nil {
		return nil, err
	}
	file, err := writeConfig(dir, config)
	if err != nil {
		return nil, err
	}
	return Start(ctx, Spec{
		Path: bin,
		Dir:  dir,
		Args: append([]string{
			"--config.file=" + file,
			"--storage.tsdb.path=" + filepath.Join(dir, "tsdb"),
			"--web.listen-address=127.0.0.1:0",
			"--web.enable-lifecycle",
		}, flags...),
		Address: func(line string) (string, bool) {
			m := listening.FindStringSubmatch(strings.TrimSpace(line))
			if m == nil {
				return "", false
			}
			return m[1], true
		},
		Ready: "/-/ready",
	})
}

func writeConfig(dir, config string) (string, error) {
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return "", fmt.Errorf("process: write the configuration of Prometheus: %w", err)
	}
	return file, nil
}

// Reconfigure gives a Prometheus that was started in dir another configuration: only then can it name its own address.
func Reconfigure(ctx context.Context, p *Process, dir, config string) error {
	if _, err := writeConfig(dir, config); err != nil {
		return err
	}
	return call(ctx, http.MethodPost, p.URL()+"/-/reload")
}
