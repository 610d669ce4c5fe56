package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/luminate-metrics/luminate/config"
)

// A loader gives the settings of a command from its flags, the environment and the file.
type loader struct {
	file    string
	environ []string
	values  []*flagValue
}

// A flagValue keeps the text of a flag until everything is loaded, so that all problems are reported at once.
type flagValue struct {
	path, text, kind string
	set              bool
}

// String is the value, or the default.
func (f *flagValue) String() string { return f.text }

// Set keeps the text.
func (f *flagValue) Set(text string) error {
	f.text, f.set = text, true
	return nil
}

// Type is the type of the setting, for the help.
func (f *flagValue) Type() string { return f.kind }

// addFlags gives cmd a flag for each setting whose path begins with one of the prefixes.
func (l *loader) addFlags(cmd *cobra.Command, environ []string, prefixes ...string) {
	l.environ = environ
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&l.file, "config", "", "YAML file with settings; also "+config.FileEnv)
	for _, s := range config.Defaults().Settings() {
		if !hasPrefix(s.Path, prefixes) {
			continue
		}
		v := &flagValue{path: s.Path, text: s.String(), kind: s.Type}
		f := &pflag.Flag{Name: s.Path, Usage: s.Doc, Value: v, DefValue: v.text}
		if s.Type == "true or false" {
			v.kind, f.NoOptDefVal = "bool", "true" // As pflag knows it.
		}
		fs.AddFlag(f)
		l.values = append(l.values, v)
	}
}

func hasPrefix(path string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

func (l *loader) load() (*config.Config, error) {
	flags := map[string]string{}
	for _, v := range l.values {
		if v.set {
			flags[v.path] = v.text
		}
	}
	return config.Load(config.Source{File: l.file, Environ: l.environ, Flags: flags})
}
