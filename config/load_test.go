package config_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/luminate-metrics/luminate/config"
)

const secret = "0123456789abcdef0123456789abcdef"

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// load returns the settings that differ from the defaults.
func load(t *testing.T, file string, environ []string, flags map[string]string) (map[string]string, error) {
	t.Helper()
	src := config.Source{Environ: environ, Flags: flags}
	if file != "" {
		src.File = writeFile(t, "luminate.yaml", file)
	}
	c, err := config.Load(src)
	defaults := config.Defaults().Settings()
	changed := map[string]string{}
	for i, s := range c.Settings() {
		if s.String() != defaults[i].String() {
			changed[s.Path] = s.String()
		}
	}
	return changed, err
}

func TestPrecedence(t *testing.T) {
	f := func(file string, environ []string, flags, want map[string]string) {
		t.Helper()
		got, err := load(t, file, environ, flags)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("changed settings (-want +got):\n%s", diff)
		}
	}
	f("", nil, nil, map[string]string{})
	f("# nothing\n", nil, nil, map[string]string{})
	f("server:\nauth: {}\n", nil, nil, map[string]string{})
	f("server: {listen: }\n", nil, nil, map[string]string{})

	file := "server: {listen: ':1'}\nquery: {timeout: 1m30s}\nlog: {level: debug}\n"
	f(file, nil, nil, map[string]string{"server.listen": ":1", "query.timeout": "1m30s", "log.level": "debug"})
	f(file, []string{"LUMINATE_SERVER_LISTEN=:2", "LUMINATE_LOG_LEVEL=warn", "HOME=/"}, map[string]string{"server.listen": ":3"},
		map[string]string{"server.listen": ":3", "query.timeout": "1m30s", "log.level": "warn"})
	// A default can be restored by a higher layer.
	f(file, []string{"LUMINATE_LOG_LEVEL=info"}, map[string]string{"server.listen": ":8080", "query.timeout": "2m"}, map[string]string{})
	// An empty variable is none.
	f("", []string{"LUMINATE_SERVER_LISTEN="}, nil, map[string]string{})
	// An empty flag is a value.
	f("", nil, map[string]string{"server.cors_origin": ""}, map[string]string{"server.cors_origin": ""})

	// Names with underscores in a section or in a setting.
	f("", []string{
		"LUMINATE_SELF_METRICS_ENABLED=false", "LUMINATE_STORAGE_BADGER_PATH=/x", "LUMINATE_REMOTE_READ_MAX_FRAME_BYTES=2MiB",
		"LUMINATE_SERVER_MAX_BODY_BYTES=64MiB", "LUMINATE_NATIVE_LIMITS_MAX_DIMENSIONS=7",
	}, nil, map[string]string{
		"self_metrics.enabled": "false", "storage.badger.path": "/x", "remote_read.max_frame_bytes": "2MiB",
		"server.max_body_bytes": "64MiB", "native.limits.max_dimensions": "7",
	})
	f("auth: {header: {trusted_networks: [10.0.0.0/8, 'fd00::/8']}}\n", nil, nil,
		map[string]string{"auth.header.trusted_networks": "10.0.0.0/8,fd00::/8"})
	f("", []string{"LUMINATE_AUTH_HEADER_TRUSTED_NETWORKS=10.0.0.0/8, 127.0.0.0/8"}, nil,
		map[string]string{"auth.header.trusted_networks": "10.0.0.0/8,127.0.0.0/8"})
	f("retention: {tenants: {}}", nil, nil, map[string]string{})
	f("retention: {tenants: {b: 7d, a: 30d}}", nil, nil, map[string]string{"retention.tenants": "a=30d,b=1w"})
	f("retention: {tenants: {b: 7d, a: 30d}}", []string{"LUMINATE_RETENTION_TENANTS=c=2h, d=1d"}, nil, map[string]string{"retention.tenants": "c=2h,d=1d"})
	f("memory: {limit: 2GiB, ratio: 0.75}\n", nil, nil, map[string]string{"memory.limit": "2GiB", "memory.ratio": "0.75"})
	f("query: {max_samples: 1000, use_start_timestamps: true}\nserver: {max_body_bytes: 1048576}\n", nil, nil,
		map[string]string{"query.max_samples": "1000", "query.use_start_timestamps": "true", "server.max_body_bytes": "1MiB"})
}

func TestFileFromEnvironment(t *testing.T) {
	name := writeFile(t, "a.yaml", "log: {level: warn}")
	c, err := config.Load(config.Source{Environ: []string{"LUMINATE_CONFIG=" + name}})
	if err != nil || c.Log.Level != "warn" {
		t.Errorf("level %q, error %v", c.Log.Level, err)
	}
	other := writeFile(t, "b.yaml", "log: {level: error}")
	c, err = config.Load(config.Source{File: other, Environ: []string{"LUMINATE_CONFIG=" + name}})
	if err != nil || c.Log.Level != "error" {
		t.Errorf("level %q, error %v", c.Log.Level, err)
	}
}

// TestProblems checks that everything that is wrong is reported at once, with the name as the user wrote it.
func TestProblems(t *testing.T) {
	f := func(file string, environ []string, flags map[string]string, want ...string) {
		t.Helper()
		_, err := load(t, file, environ, flags)
		if err == nil {
			t.Fatalf("no error, want %q", want)
		}
		lines := strings.Split(err.Error(), "\n  ")
		if len(lines)-1 != len(want) {
			t.Errorf("%d problems, want %d:\n%v", len(lines)-1, len(want), err)
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q is not in:\n%v", w, err)
			}
		}
	}
	f("storage: {backnd: badger}\n", nil, nil, "luminate.yaml: did you mean storage.backend?")
	f("", []string{"LUMINATE_STORAGE_BACKND=x"}, nil, "LUMINATE_STORAGE_BACKND: unknown setting in the environment: did you mean LUMINATE_STORAGE_BACKEND?")
	f("", nil, map[string]string{"listen": ":1"}, "listen: unknown setting among the flags: did you mean server.listen?")
	f("listen: ':1'\nzzzzzz: 1\n", nil, nil, "did you mean server.listen?", "zzzzzz: unknown setting in ")
	f("server: 5\n", nil, nil, "server: is a section")
	f("server: {listen: {port: 1}}\n", nil, nil, "server.listen.port: unknown setting")
	f("server: {listen: ':1'\n", nil, nil, "can't be read")
	f("server: {listen: ':1', listen: ':2'}\n", nil, nil, "already defined")
	f("- a\n", nil, nil, "can't be read")

	f("query: {timeout: 30, max_samples: many}\nserver: {max_body_bytes: 3 parsecs}\nself_metrics: {enabled: perhaps}\n", nil, nil,
		`query.timeout: "30" is not a duration`, `query.max_samples: "many" is not a whole number`,
		`server.max_body_bytes: "3 parsecs" is not a size`, `self_metrics.enabled: "perhaps" is neither`)

	f("", []string{
		"LUMINATE_STORAGE_BACKEND=clickhouse", "LUMINATE_AUTH_MODE=jwt", "LUMINATE_SERVER_LISTEN=8080", "LUMINATE_LOG_LEVEL=loud",
		"LUMINATE_NO_SUCH_THING=1", "LUMINATE_QUERY_TIMEOUT=10m", "LUMINATE_AUTH_JWT_LEEWAY=1m", "LUMINATE_RETENTION_PERIOD=5m",
		"LUMINATE_AUTH_DEFAULT_TENANT=a/b", "LUMINATE_SERVER_CORS_ORIGIN=(", "LUMINATE_AUTH_JWT_TENANTS_CLAIM=tenant",
	}, nil,
		"storage.backend: is clickhouse, which this version does not have yet", "auth.jwt.secret: is needed for auth.mode jwt",
		`server.listen: "8080" is no address`, `log.level: is "loud"`, "LUMINATE_NO_SUCH_THING: unknown", "server.write_timeout: is 5m",
		"auth.jwt.leeway: is 1m", "retention.period: is 5m", `auth.default_tenant: "a/b" is no tenant id`, "server.cors_origin",
		`auth.jwt.tenants_claim: is "tenant", as is auth.jwt.tenant_claim`)
	f("", []string{"LUMINATE_STORAGE_BACKEND=sqlite"}, nil, `storage.backend: is "sqlite": use badger or memory`)
	f("", []string{"LUMINATE_AUTH_JWT_SECRET=short"}, nil, "auth.jwt.secret: is 5 bytes long")
	f("retention: {period: 30d, tenants: {a: 31d, a/b: 1d}}", nil, nil, "retention.tenants: is 31d for the tenant a", `retention.tenants: "a/b" is no tenant id`)
	f("", []string{"LUMINATE_RETENTION_TENANTS=a"}, nil, `retention.tenants: "a" is no tenant with a duration: write it as team-a=30d`)
	f("", []string{"LUMINATE_RETENTION_TENANTS=a=1d,a=2d"}, nil, `retention.tenants: the tenant "a" has two durations`)
	f("retention: {tenants: {a: long}}", nil, nil, `retention.tenants: tenant "a": "long" is not a duration`)
	f("memory: {ratio: 1.5}", nil, nil, "memory.ratio: is 1.5: use a number greater than 0, at most 1")
	f("", nil, map[string]string{"memory.ratio": "NaN"}, "memory.ratio: is NaN")
	f("", []string{"LUMINATE_MEMORY_RATIO=half"}, nil, `memory.ratio: "half" is not a number`)
	f("storage: {badger: {max_head_samples: -1, min_free_percent: 51}}", nil, nil, "storage.badger.max_head_samples: is -1", "storage.badger.min_free_percent: is 51")
	f("", nil, map[string]string{"auth.header.trusted_networks": "10.0.0.1"}, `"10.0.0.1" is no network`)

	if _, err := config.Load(config.Source{File: "/does/not/exist.yaml"}); err == nil || !strings.Contains(err.Error(), "/does/not/exist.yaml") {
		t.Errorf("missing file: %v", err)
	}
}

func TestForeignVariables(t *testing.T) {
	got, err := load(t, "", []string{
		"LUMINATE_SERVICE_HOST=10.0.0.1", "LUMINATE_SERVICE_PORT=8080", "LUMINATE_SERVICE_PORT_HTTP=8080", "LUMINATE_PORT=tcp://10.0.0.1:8080",
		"LUMINATE_PORT_8080_TCP=tcp://10.0.0.1:8080", "LUMINATE_PORT_8080_TCP_ADDR=10.0.0.1", "LUMINATE_BADGER_SERVICE_HOST=10.0.0.1",
		"LUMINATE_BADGER_PORT_8080_TCP_PROTO=tcp", "LUMINATEX=1",
		"LUMINATE_TEST_BINARY=x", "LUMINATE_REWRITE=1", "LUMINATE_PROMETHEUS=x", "LUMINATE_CACHE=x",
	}, nil)
	if err != nil || len(got) > 0 {
		t.Errorf("variables of others are taken for settings: %v, %v", got, err)
	}
}

func TestSecretFiles(t *testing.T) {
	file := writeFile(t, "secret", secret+"\n")
	other := strings.Repeat("o", 40)
	f := func(want, yaml string, environ []string, flags map[string]string) {
		t.Helper()
		src := config.Source{Environ: environ, Flags: flags, File: writeFile(t, "c.yaml", yaml)}
		c, err := config.Load(src)
		if err != nil {
			t.Error(err)
		}
		if got := c.Auth.JWT.Secret.Reveal(); got != want {
			t.Errorf("secret %q, want %q", got, want)
		}
		// What was overridden does not show up as if it held.
		if want == other && c.Auth.JWT.SecretFile != "" {
			t.Errorf("secret file %q", c.Auth.JWT.SecretFile)
		}
	}
	f(secret, "", []string{"LUMINATE_AUTH_JWT_SECRET_FILE=" + file}, nil)
	f(secret, "auth: {jwt: {secret_file: "+file+"}}", nil, nil)
	// A higher layer wins, whichever form it has.
	f(other, "auth: {jwt: {secret_file: "+file+"}}", []string{"LUMINATE_AUTH_JWT_SECRET=" + other}, nil)
	f(secret, "auth: {jwt: {secret: "+other+"}}", []string{"LUMINATE_AUTH_JWT_SECRET_FILE=" + file}, nil)
	f(other, "", []string{"LUMINATE_AUTH_JWT_SECRET_FILE=" + file}, map[string]string{"auth.jwt.secret": other})

	bad := func(want string, environ ...string) {
		t.Helper()
		_, err := config.Load(config.Source{Environ: environ})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	bad("give one of them", "LUMINATE_AUTH_JWT_SECRET="+secret, "LUMINATE_AUTH_JWT_SECRET_FILE="+file)
	bad("has a problem:\n  auth.jwt.secret_file", "LUMINATE_AUTH_MODE=jwt", "LUMINATE_AUTH_JWT_SECRET_FILE=/does/not/exist")
	bad("is empty", "LUMINATE_AUTH_JWT_SECRET_FILE="+writeFile(t, "empty", "\n"))
}

func TestSecretsAreRedacted(t *testing.T) {
	c := config.Defaults()
	c.Auth.JWT.Secret = config.NewSecret(secret)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).LogAttrs(t.Context(), slog.LevelInfo, "x", slog.Any("secret", c.Auth.JWT.Secret), slog.Any("config", c))
	inJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	inYAML, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Auth.JWT.Secret
	for _, text := range []string{
		log.String(), string(inJSON), string(inYAML), fmt.Sprint(c), fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s),
		fmt.Sprintf("%v %+v", c, *c), fmt.Errorf("x: %v", s).Error(),
	} {
		if strings.Contains(text, secret) || strings.Contains(text, "3031323334") {
			t.Errorf("the secret shows in %s", text)
		}
	}
	if !strings.Contains(string(inYAML), "secret: <redacted>") {
		t.Errorf("no sign of the secret in\n%s", inYAML)
	}
}

// TestYAMLRoundTrip checks that what is printed is read back as it was.
func TestYAMLRoundTrip(t *testing.T) {
	want := config.Defaults()
	want.Server.ShutdownDelay = config.Duration(90 * time.Minute)
	want.Retention.Tenants = config.TenantDurations{"b": config.Duration(time.Hour), "a": config.Duration(2 * time.Hour)}
	want.Auth.Header.TrustedNetworks = []string{"10.0.0.0/8"}
	text, err := yaml.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(config.Source{File: writeFile(t, "c.yaml", string(text))})
	if err != nil {
		t.Fatal(err)
	}
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}

func TestBytes(t *testing.T) {
	f := func(text string, want config.Bytes, shown string) {
		t.Helper()
		var b config.Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want || b.String() != shown {
			t.Errorf("%q: %d %s, error %v", text, b, b, err)
		}
	}
	f("0", 0, "0")
	f("512", 512, "512")
	f("512B", 512, "512")
	f("32MiB", 32<<20, "32MiB")
	f("32 Mi", 32<<20, "32MiB")
	f("1GB", 1e9, "1000000000")
	f("1536KiB", 1536<<10, "1536KiB")
	for _, bad := range []string{"", "x", "-1", "1.5GiB", "9999999TiB", "1 parsec"} {
		var b config.Bytes
		if err := b.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is taken as %d", bad, b)
		}
	}
}
