package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/luminate-metrics/luminate/test/process"
)

// The pages whose commands are run follow these rules. A block ```sh is run by bash in the root of the project, and has
// to succeed. A block ```text or ```json right after it is what it prints: `...` stands for anything, on a line of its own
// for any lines or none, `<a word>` for one word; in JSON white space does not count. The block with the line `make run` is started in the background and goes on
// until the next one, or the end of the page. `make test` is not run, because it is what runs this. On the pages the
// server listens on localhost:8080; here it takes another port. A block ```yaml that holds a remote_write or scrape_configs
// section is checked by promtool.

// pageAddress is where the server listens on the pages.
const pageAddress = "localhost:8080"

// A block is one fenced block of a page.
type block struct {
	line     int // In the page, from 1.
	language string
	text     string
	adjacent bool // Nothing but white space stands between it and the block before it.
}

func blocks(page string) []block {
	var out []block
	var current *block
	adjacent := false
	for i, line := range strings.Split(page, "\n") {
		switch fence := strings.HasPrefix(line, "```"); {
		case fence && current == nil:
			current = &block{line: i + 1, language: strings.TrimPrefix(line, "```"), adjacent: adjacent}
		case fence:
			out = append(out, *current)
			current, adjacent = nil, true
		case current != nil:
			current.text += line + "\n"
		case strings.TrimSpace(line) != "":
			adjacent = false
		}
	}
	return out
}

// has reports whether a line of the block is the command.
func (b block) has(command string) bool {
	return slices.Contains(strings.Split(b.text, "\n"), command)
}

var (
	lines    = regexp.MustCompile(`(?m)^\\\.\\\.\\\.\n`)
	anything = regexp.MustCompile(`\\\.\\\.\\\.`)
	word     = regexp.MustCompile(`<[a-z][a-z ]*>`)
	space    = regexp.MustCompile(`\s+`)
)

// matches reports whether the output is what the block says.
func (b block) matches(output string) bool {
	want, got := strings.TrimSpace(b.text)+"\n", strings.TrimSpace(output)+"\n"
	if b.language == "json" {
		want, got = space.ReplaceAllString(want, ""), space.ReplaceAllString(got, "")
	}
	pattern := lines.ReplaceAllString(regexp.QuoteMeta(want), `(?:.*\n)*?`)
	pattern = anything.ReplaceAllString(pattern, `(?s:.*?)`)
	pattern = word.ReplaceAllString(pattern, `[^\s"]+?`)
	return regexp.MustCompile(`^` + pattern + `$`).MatchString(got)
}

// A reader of a page does what the page says.
type pageReader struct {
	t      *testing.T
	root   string
	server *exec.Cmd // The server that `make run` started, or nil.
	ended  chan struct{}
	output string // File that it prints to.
	addr   string
}

// Every command of the pages for newcomers works and prints what the page says.
func TestPages(t *testing.T) {
	t.Parallel()
	root, err := process.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"README.md", "docs/guides/quickstart.md", "docs/operations/backup-restore.md"} {
		t.Run(strings.ReplaceAll(page, "/", "_"), func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(root, page))
			if err != nil {
				t.Fatal(err)
			}
			r := &pageReader{t: t, root: root}
			defer r.stop()
			r.read(blocks(string(text)))
		})
	}
}

func (r *pageReader) read(all []block) {
	ran := 0
	for i, b := range all {
		switch b.language {
		case "sh":
			var want *block
			if i+1 < len(all) && all[i+1].adjacent && (all[i+1].language == "text" || all[i+1].language == "json") {
				want = &all[i+1]
			}
			r.run(b, want)
			ran++
		case "yaml":
			r.check(b)
		}
		if r.t.Failed() {
			return
		}
	}
	if ran == 0 {
		r.t.Error("the page has no block ```sh")
	}
}

func (r *pageReader) run(b block, want *block) {
	switch {
	case b.has("make test"):
		r.checkMakeTest()
		return
	case b.has("make run"):
		r.stop()
		r.start(b)
		if want != nil {
			r.waitFor(b, want)
		}
		return
	}
	if want == nil {
		r.t.Errorf("line %d: the page does not say what the block prints", b.line)
		return
	}
	out, err := r.command(b).CombinedOutput()
	if err != nil {
		r.t.Errorf("line %d: %v\n%s", b.line, err, out)
		return
	}
	if got := r.asOnPage(string(out)); !want.matches(got) {
		r.t.Errorf("line %d: the page says that it prints\n%sbut it prints\n%s", b.line, want.text, got)
	}
}

// command returns the command that runs a block, on the address that the server has here.
func (r *pageReader) command(b block) *exec.Cmd {
	text := b.text
	if r.addr != "" {
		text = strings.ReplaceAll(text, pageAddress, r.addr)
	}
	cmd := exec.CommandContext(r.t.Context(), "bash", "-euo", "pipefail", "-c", text)
	cmd.Dir = r.root
	cmd.Env = r.environment()
	if p, err := process.Prometheus(); err == nil && b.has("make demo") {
		cmd.Env = append(cmd.Env, "LUMINATE_TOOLS_DIR="+filepath.Dir(p))
	}
	return cmd
}

// environment is that of a newcomer's shell: without what the make around the tests has put into it.
func (r *pageReader) environment() []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "LUMINATE_") && !strings.HasPrefix(name, "MAKE") && name != "MFLAGS" {
			env = append(env, v)
		}
	}
	return env
}

func (r *pageReader) asOnPage(out string) string {
	if r.addr == "" {
		return out
	}
	return strings.ReplaceAll(out, r.addr, pageAddress)
}

// start runs a block with make run in a process group of its own.
func (r *pageReader) start(b block) {
	dir := r.t.TempDir()
	r.output = filepath.Join(dir, "output")
	f, err := os.Create(r.output)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	r.addr = ""
	cmd := r.command(b)
	cmd.Env = append(cmd.Env,
		"LUMINATE_SERVER_LISTEN=127.0.0.1:0",
		"LUMINATE_STORAGE_BADGER_PATH="+filepath.Join(dir, "data"),
	)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.server, r.ended = cmd, make(chan struct{})
	go func() {
		_ = cmd.Wait() // How it ended stands in its output.
		close(r.ended)
	}()
	address := regexp.MustCompile(`(?:127\.0\.0\.1|localhost):[1-9][0-9]*`)
	eventually(r.t, 3*time.Minute, func(ctx context.Context) error {
		out, err := os.ReadFile(r.output)
		if err != nil {
			return err
		}
		select {
		case <-r.ended:
			r.t.Fatalf("line %d: make run has ended:\n%s", b.line, out)
		default:
		}
		if r.addr = address.FindString(string(out)); r.addr == "" {
			return fmt.Errorf("line %d: no address in the output:\n%s", b.line, out)
		}
		reply, err := newClient(r.t, "http://"+r.addr, "").Get(ctx, "/-/ready", nil)
		if err == nil && !reply.OK() {
			err = fmt.Errorf("line %d: not ready: %v", b.line, reply)
		}
		return err
	})
}

// waitFor waits until the server has printed what the page says.
func (r *pageReader) waitFor(b block, want *block) {
	eventually(r.t, 10*time.Second, func(context.Context) error {
		out, err := os.ReadFile(r.output)
		if err != nil {
			return err
		}
		if got := r.asOnPage(string(out)); !want.matches(got) {
			return fmt.Errorf("line %d: the page says that it prints\n%sbut it prints\n%s", b.line, want.text, got)
		}
		return nil
	})
}

// stop ends the server as Ctrl-C does: the whole process group gets the signal.
func (r *pageReader) stop() {
	if r.server == nil {
		return
	}
	_ = syscall.Kill(-r.server.Process.Pid, syscall.SIGINT)
	<-r.ended
	r.server = nil
}

// checkMakeTest checks that make test is there and that CI runs it.
func (r *pageReader) checkMakeTest() {
	r.t.Helper()
	for file, want := range map[string]string{"Makefile": `(?m)^test:`, ".ci/run": `(?m)^(make|step) test$`} {
		text, err := os.ReadFile(filepath.Join(r.root, file))
		if err != nil || !regexp.MustCompile(want).Match(text) {
			r.t.Errorf("%s has nothing that matches %s (%v)", file, want, err)
		}
	}
}

// check lets promtool look at a piece of Prometheus's configuration.
func (r *pageReader) check(b block) {
	r.t.Helper()
	if !strings.Contains(b.text, "remote_write:") && !strings.Contains(b.text, "remote_read:") {
		return
	}
	file := filepath.Join(r.t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if out, err := runPromtool(r.t, "check", "config", "--syntax-only", file); err != nil {
		r.t.Errorf("line %d: promtool check config: %v\n%s", b.line, err, out)
	}
}

// The rules for the pages can tell right from wrong.
func TestBlockMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		language, want, got string
		ok                  bool
	}{
		{"text", "a\nb\n", "a\nb\n", true},
		{"text", "a\nb\n", "a\nc\n", false},
		{"text", "a ... d\n", "a b c d", true},
		{"text", "...\nd\n", "a\nb\nd", true},
		{"text", "...\nd\n...\n", "d", true},
		{"text", "a\n...\nd\n", "a\nd", true},
		{"text", "a\n...\nd\n", "a\nbd", false},
		{"text", "took <time>.\n", "took 17ms.", true},
		{"text", "took <time>.\n", "took a while.", false},
		{"json", "{\"a\": [1,\n2]}\n", `{"a":[1,2]}`, true},
		{"json", `{"t":<time>,"v":"<value>"}`, `{"t":1.5,"v":"7"}`, true},
		{"json", `{"v":"<value>"}`, `{"v":"7","w":"8"}`, false},
	} {
		if got := (block{language: c.language, text: c.want}).matches(c.got); got != c.ok {
			t.Errorf("%q matches %q: want %v, got %v", c.want, c.got, c.ok, got)
		}
	}
}
