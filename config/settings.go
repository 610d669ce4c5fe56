package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// EnvPrefix begins the name of every environment variable that is a setting.
const EnvPrefix = "LUMINATE_"

// A Setting is one leaf of Config: what may be set, and its value in the Config that it was taken from.
type Setting struct {
	Path   string // As in YAML and flags: storage.badger.path.
	Env    string // LUMINATE_STORAGE_BADGER_PATH.
	Doc    string
	Type   string // For people: text, list, true or false, number, duration, size, map, secret.
	Secret bool

	value reflect.Value
}

// A Section is a group of settings.
type Section struct {
	Path     string
	Doc      string
	Settings []Setting
}

// Settings lists all settings of c in the order of the structs. Set on one of them changes c.
func (c *Config) Settings() []Setting {
	var out []Setting
	for _, s := range c.Sections() {
		out = append(out, s.Settings...)
	}
	return out
}

// Sections lists the sections of c with their settings; one that holds only other sections has none.
func (c *Config) Sections() []Section {
	var out []Section
	walk(reflect.ValueOf(c).Elem(), "", "", &out)
	return out
}

func walk(v reflect.Value, path, doc string, out *[]Section) {
	at := -1
	if path != "" {
		at = len(*out)
		*out = append(*out, Section{Path: path, Doc: doc})
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, text := f.Tag.Get("yaml"), f.Tag.Get("doc")
		if path != "" {
			name = path + "." + name
		}
		if kind := typeOf(v.Field(i)); kind != "" {
			(*out)[at].Settings = append((*out)[at].Settings, Setting{
				Path: name, Env: envName(name), Doc: text, Type: kind, Secret: kind == "secret", value: v.Field(i),
			})
			continue
		}
		walk(v.Field(i), name, text, out)
	}
}

func envName(path string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// typeOf names the type of a setting; "" means that v is a section.
func typeOf(v reflect.Value) string {
	switch v.Interface().(type) {
	case Duration:
		return "duration"
	case Bytes:
		return "size"
	case TenantDurations:
		return "map"
	case Secret:
		return "secret"
	case string:
		return "text"
	case []string:
		return "list"
	case bool:
		return "true or false"
	case int, float64:
		return "number"
	}
	return ""
}

// String is the value in the form that Set takes; a secret is redacted.
func (s Setting) String() string {
	if list, ok := reflect.TypeAssert[[]string](s.value); ok {
		return strings.Join(list, ",")
	}
	return fmt.Sprint(s.value.Interface())
}

// Set changes the value. A list is separated by commas.
func (s Setting) Set(text string) error {
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](s.value.Addr()); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch p := s.value.Addr().Interface().(type) {
	case *string:
		*p = text
	case *[]string:
		*p = splitList(text)
	case *bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		*p = b
	case *float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number", text)
		}
		*p = x
	case *int:
		n, err := strconv.Atoi(strings.ReplaceAll(text, "_", ""))
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		*p = n
	}
	return nil
}

func splitList(text string) []string {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// closest returns the one of names that a person may have meant by name, or "".
func closest(name string, names []string) string {
	best, least := "", 1+max(2, len(name)/4)
	for _, n := range names {
		if d := distance(name, n); d < least {
			best, least = n, d
		}
	}
	if best != "" {
		return best
	}
	// The right name in the wrong section.
	last := name[strings.LastIndexAny(name, ".")+1:]
	i := slices.IndexFunc(names, func(n string) bool { return strings.HasSuffix(n, "."+last) })
	if i >= 0 {
		return names[i]
	}
	return ""
}

// distance is the number of letters to insert, drop or replace to get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
