package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	koanfmaps "github.com/knadh/koanf/maps"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

// FileEnv is the environment variable that names the YAML file.
const FileEnv = EnvPrefix + "CONFIG"

// Source is where Load takes settings from.
type Source struct {
	File    string            // YAML file; empty means the one named by LUMINATE_CONFIG, or none.
	Environ []string          // As os.Environ returns it.
	Flags   map[string]string // What was set by flags, by path.
}

// Load returns the settings of src over the defaults, checked. The error is a SettingErrors that lists everything that is
// wrong at once; the settings are then those that could be understood.
func Load(src Source) (*Config, error) {
	l := loader{merged: koanf.New(delimiter), cfg: Defaults(), settings: map[string]Setting{}}
	for _, s := range l.cfg.Settings() {
		l.settings[s.Path] = s
		l.paths = append(l.paths, s.Path)
	}
	env := l.environment(src.Environ)
	if src.File == "" {
		src.File = env[FileEnv]
	}
	delete(env, FileEnv)
	if src.File != "" {
		l.file(src.File)
	}
	l.merge(env, "the environment")
	flags := map[string]any{}
	for path, v := range src.Flags {
		flags[path] = v
	}
	l.merge(flags, "the flags")

	l.apply()
	l.readSecrets()
	if err := l.cfg.Validate(); err != nil {
		var more SettingErrors
		errors.As(err, &more)
		for _, p := range more {
			// What a file failed to give is not missing for another reason.
			if !slices.ContainsFunc(l.problems, func(q Problem) bool { return q.Path == p.Path+fileSuffix }) {
				l.problems = append(l.problems, p)
			}
		}
	}
	if len(l.problems) > 0 {
		l.problems.sort()
		return l.cfg, l.problems
	}
	return l.cfg, nil
}

const delimiter = "."

type loader struct {
	cfg      *Config
	merged   *koanf.Koanf
	settings map[string]Setting
	paths    []string
	problems SettingErrors
}

func (l *loader) problem(path, format string, args ...any) {
	l.problems = append(l.problems, Problem{path, fmt.Sprintf(format, args...)})
}

func (l *loader) file(name string) {
	k := koanf.New(delimiter)
	if err := k.Load(file.Provider(name), yaml.Parser()); err != nil {
		l.problem(name, "the file can't be read: %s", strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	known := map[string]any{}
	flat := k.All()
	for _, path := range slices.Sorted(maps.Keys(flat)) {
		value := flat[path]
		if in := l.mapOf(path); in != "" {
			pair := fmt.Sprintf("%s=%v", strings.TrimPrefix(path, in+delimiter), value)
			if before, ok := known[in].(string); ok {
				pair = before + "," + pair
			}
			known[in] = pair
			continue
		}
		switch _, ok := l.settings[path]; {
		case ok && !isEmpty(value):
			known[path] = value
		case ok, l.isSection(path) && isEmpty(value):
			// Named but left empty: the default holds.
		case l.isSection(path):
			l.problem(path, "is a section of settings in %s, and can't have a value of its own", name)
		default:
			l.problem(path, "unknown setting in %s%s", name, l.suggestion(path))
		}
	}
	l.merge(known, name)
}

func (l *loader) isSection(path string) bool {
	return slices.ContainsFunc(l.paths, func(p string) bool { return strings.HasPrefix(p, path+delimiter) })
}

// mapOf returns the setting that is a map which path is a key of, or "".
func (l *loader) mapOf(path string) string {
	i := strings.LastIndex(path, delimiter)
	if i < 0 || l.settings[path[:i]].Type != "map" {
		return ""
	}
	return path[:i]
}

func isEmpty(v any) bool {
	m, ok := v.(map[string]any)
	return v == nil || ok && len(m) == 0
}

func (l *loader) suggestion(path string) string {
	if s := closest(path, l.paths); s != "" {
		return ": did you mean " + s + "?"
	}
	return ""
}

// foreign matches variables that look like ours and are no settings: what Kubernetes sets for a service named
// luminate-…, and what the project's Makefile and tests read.
var foreign = regexp.MustCompile(`^LUMINATE_(` +
	`([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)` +
	`|CACHE|TOOLS_DIR|REWRITE|PROMETHEUS|PROMTOOL|TEST_[A-Z0-9_]+|LOAD_[A-Z0-9_]+)$`)

// environment returns the settings among the variables, by path, and FileEnv under its own name.
func (l *loader) environment(environ []string) map[string]string {
	byEnv := map[string]string{FileEnv: FileEnv}
	names := []string{FileEnv}
	for _, p := range l.paths {
		byEnv[l.settings[p].Env] = p
		names = append(names, l.settings[p].Env)
	}
	out := map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, EnvPrefix) {
			continue
		}
		switch path, ok := byEnv[name]; {
		case ok && value != "":
			out[path] = value
		case ok || foreign.MatchString(name):
		default:
			hint := ""
			if s := closest(name, names); s != "" {
				hint = ": did you mean " + s + "?"
			}
			l.problem(name, "unknown setting in the environment%s", hint)
		}
	}
	return out
}

// merge puts a layer over those before it. A layer that gives a secret directly takes away the file that an earlier one
// named for it, and the other way round.
func (l *loader) merge(layer any, from string) {
	flat := map[string]any{}
	switch m := layer.(type) {
	case map[string]any:
		flat = m
	case map[string]string:
		for k, v := range m {
			flat[k] = v
		}
	}
	for path, value := range flat {
		if value == "" {
			continue
		}
		if l.settings[path].Secret {
			if name, both := flat[path+fileSuffix]; both && name != "" {
				l.problem(path, "is set together with %s%s in %s: give one of them", path, fileSuffix, from)
			}
			l.merged.Delete(path + fileSuffix)
		}
		if direct, ok := strings.CutSuffix(path, fileSuffix); ok && l.settings[direct].Secret {
			l.merged.Delete(direct)
		}
	}
	// Loading a map can't fail.
	_ = l.merged.Load(layerProvider(flat), nil)
}

const fileSuffix = "_file"

// layerProvider feeds a flat map to koanf.
type layerProvider map[string]any

// Read returns the layer as a nested map.
func (p layerProvider) Read() (map[string]any, error) { return koanfmaps.Unflatten(p, delimiter), nil }

// ReadBytes is not used: a layer needs no parser.
func (p layerProvider) ReadBytes() ([]byte, error) { return nil, errors.ErrUnsupported }

// apply writes what was merged into the structs.
func (l *loader) apply() {
	for path, value := range l.merged.All() {
		s, ok := l.settings[path]
		if !ok {
			l.problem(path, "unknown setting among the flags%s", l.suggestion(path))
			continue
		}
		text, err := asText(value)
		if err == nil {
			err = s.Set(text)
		}
		if err != nil && s.Secret {
			l.problem(path, "must be a text")
		} else if err != nil {
			l.problem(path, "%s", err)
		}
	}
}

// asText turns a YAML value into the form that Setting.Set takes.
func asText(v any) (string, error) {
	switch x := v.(type) {
	case map[string]any, map[any]any:
		return "", errors.New("is a setting, and not a section")
	case []any:
		parts := make([]string, len(x))
		for i, e := range x {
			parts[i] = fmt.Sprint(e)
		}
		return strings.Join(parts, ","), nil
	default:
		return fmt.Sprint(v), nil
	}
}

// readSecrets reads the files that are named in place of secrets.
func (l *loader) readSecrets() {
	for _, path := range l.paths {
		s := l.settings[path]
		if !s.Secret {
			continue
		}
		name := l.settings[path+fileSuffix].String()
		if name == "" || s.String() != "" {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			l.problem(path+fileSuffix, "%s", err)
			continue
		}
		secret := strings.TrimRight(string(text), " \t\r\n")
		if secret == "" {
			l.problem(path+fileSuffix, "%s is empty", name)
		}
		_ = s.Set(secret) // A secret takes any text.
	}
}
