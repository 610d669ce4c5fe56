package config_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/luminate-metrics/luminate/config"
)

const intro = `# Configuration

<!-- Generated from the structs of package config. Change it there, and run: LUMINATE_REWRITE=1 go test ./config -->

Every setting has one name that is spelled three ways, and may be given in any of them:

| where | spelling of ` + "`native.limits.max_dimensions`" + ` |
|---|---|
| flag | ` + "`--native.limits.max_dimensions=30`" + ` |
| environment | ` + "`LUMINATE_NATIVE_LIMITS_MAX_DIMENSIONS=30`" + ` |
| YAML file, named by ` + "`--config`" + ` or ` + "`LUMINATE_CONFIG`" + ` | ` + "`native: {limits: {max_dimensions: 30}}`" + ` |

Flags win over the environment, the environment wins over the file, the file wins over the defaults. A name that is not
in the tables below is an error, wherever it stands; so is a value out of bounds. ` + "`luminate check-config`" + ` takes the same
flags as the server, reports all problems at once and prints the settings that hold, with secrets hidden.

- **Durations** are numbers with units: ` + "`500ms`, `30s`, `1h30m`, `15d`, `1y`" + `. A number without a unit is an error.
- **Sizes** are whole numbers with a unit: ` + "`32MiB`" + ` is 32 times 1024 times 1024 bytes, ` + "`32MB`" + ` is 32 million, a plain number is bytes.
- **Lists** are YAML lists, or values separated by commas.
- **Secrets** may come from a file: the same name with ` + "`_file`" + ` (in the environment ` + "`_FILE`" + `) at its end. A secret that is given both
  ways in one place is an error; given in two places, the stronger place wins.
- Variables that Kubernetes sets for a service named ` + "`luminate`" + `, such as ` + "`LUMINATE_SERVICE_HOST`" + `, are not taken for settings.

A complete file is what ` + "`luminate check-config`" + ` prints.
`

func reference() string {
	var b strings.Builder
	b.WriteString(intro)
	for _, section := range config.Defaults().Sections() {
		fmt.Fprintf(&b, "\n%s `%s`\n\n%s\n", strings.Repeat("#", 2+strings.Count(section.Path, ".")), section.Path, section.Doc)
		if len(section.Settings) == 0 {
			continue
		}
		b.WriteString("\n| setting | type | default | what it does |\n|---|---|---|---|\n")
		for _, s := range section.Settings {
			value := s.String()
			if value != "" {
				value = "`" + value + "`"
			}
			fmt.Fprintf(&b, "| `%s`<br>`%s` | %s | %s | %s |\n", s.Path, s.Env, s.Type, value, strings.ReplaceAll(s.Doc, "|", `\|`))
		}
	}
	return b.String()
}

// TestReference compares the reference page with the structs. LUMINATE_REWRITE=1 writes it anew.
func TestReference(t *testing.T) {
	const page = "../docs/guides/configuration.md"
	if os.Getenv("LUMINATE_REWRITE") != "" {
		if err := os.WriteFile(page, []byte(reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(reference(), string(got)); diff != "" {
		t.Errorf("%s is not what the structs say; run LUMINATE_REWRITE=1 go test ./config (-structs +page):\n%s", page, diff)
	}
}

// TestSettings checks what the tags can get wrong.
func TestSettings(t *testing.T) {
	seen := map[string]string{}
	for _, s := range config.Defaults().Settings() {
		if s.Doc == "" || !strings.HasSuffix(s.Doc, ".") {
			t.Errorf("%s: its doc tag is no sentence: %q", s.Path, s.Doc)
		}
		if other, taken := seen[s.Env]; taken {
			t.Errorf("%s and %s have the variable %s", other, s.Path, s.Env)
		}
		seen[s.Env] = s.Path
		if s.Secret && seen[s.Env+"_FILE"] != "" {
			t.Errorf("%s: a file setting stands before it", s.Path)
		}
	}
	for _, name := range []string{
		"LUMINATE_STORAGE_BACKEND", "LUMINATE_STORAGE_BADGER_PATH", "LUMINATE_SERVER_LISTEN", "LUMINATE_AUTH_MODE",
		"LUMINATE_AUTH_JWT_SECRET", "LUMINATE_AUTH_JWT_SECRET_FILE",
	} {
		if seen[name] == "" {
			t.Errorf("the promised variable %s is gone", name)
		}
	}
}
