package faults_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/luminate-metrics/luminate/test/client"
	"github.com/luminate-metrics/luminate/test/ledger"
	"github.com/luminate-metrics/luminate/test/process"
)

// An outcome is what a server does about damage at its start.
type outcome int

const (
	refuses   outcome = iota // It ends with code 1, the file's name and the way out, and changes nothing.
	announces                // It starts, with a line in the log, a metric, and what was damaged in quarantine.
	harmless                 // It starts, and nothing is missing.
	fails                    // It starts; reading what is damaged is an error, and all else goes on.
)

// A damage is something that happens to a file while the server is down.
type damage struct {
	name string
	file string // Pattern below the data directory.
	do   func([]byte) []byte
	want outcome
	says string // In the output: what names the file.
	lose bool   // Whether samples may be missing once it serves.
}

// flipAt flips a bit that far behind the start of what is not the rest of a page.
func flipAt(part float64) func([]byte) []byte {
	return func(b []byte) []byte {
		b = bytes.Clone(b)
		b[int(part*float64(len(bytes.TrimRight(b, "\x00"))-1))] ^= 0x10
		return b
	}
}

// cutTo leaves that much of what is not the rest of a page.
func cutTo(part float64) func([]byte) []byte {
	return func(b []byte) []byte { return b[:int(part*float64(len(bytes.TrimRight(b, "\x00"))))] }
}

func deleted([]byte) []byte { return nil }

// onlyKilled is what can happen to a store that was killed besides.
func onlyKilled() []damage {
	const memory = "partitions/*/*.mem" // Nothing is in it that is not in the log, too.
	return []damage{
		{"memory log/flip", memory, flipAt(0.5), harmless, "", false},
		{"memory log/cut", memory, cutTo(0.5), harmless, "", false},
		{"memory log/deleted", memory, deleted, harmless, "", false},
	}
}

// damages is what happens to a store, however it ended.
func damages() []damage {
	const table, manifest, log, inLog = "partitions/*/*.sst", "partitions/*/MANIFEST", "wal/00*", "write-ahead log"
	return []damage{
		{"table/flip", table, flipAt(0.5), fails, "partitions", true},
		{"table/flip at the end", table, flipAt(1), fails, ".sst", true},
		{"table/cut", table, cutTo(0.9), refuses, ".sst", true},
		{"table/deleted", table, deleted, refuses, ".sst", true},
		{"manifest/flip", manifest, flipAt(0.5), refuses, "MANIFEST", true},
		{"manifest/cut", manifest, cutTo(0.9), refuses, "partitions", true},
		{"manifest/deleted", manifest, deleted, refuses, "MANIFEST", true},
		{"catalog/flip", "CATALOG", flipAt(0.5), refuses, "CATALOG", false},
		{"catalog/cut", "CATALOG", cutTo(0.5), refuses, "CATALOG", false},
		{"catalog/deleted", "CATALOG", deleted, refuses, "CATALOG", false},
		{"checkpoint/flip", "checkpoint-*", flipAt(0.5), refuses, "checkpoint", false},
		{"checkpoint/cut", "checkpoint-*", cutTo(0.5), refuses, "checkpoint", false},
		{"checkpoint/deleted", "checkpoint-*", deleted, refuses, "checkpoint", false},
		{"log/flip at the start", log, flipAt(0), announces, inLog, true},
		{"log/flip in the middle", log, flipAt(0.5), announces, inLog, true},
		{"log/cut in the middle", log, cutTo(0.5), announces, inLog, true},
		{"log/emptied", log, cutTo(0), announces, inLog, true},
		{"log/deleted", log, deleted, announces, inLog, true},
		{"log end/deleted", "wal.end", deleted, harmless, "", false},
	}
}

// A stored is the data directory of a server that has ended.
type stored struct {
	dir     string
	ledgers []*ledger.Ledger // The first is of what lies in partitions, the second of what is in the log.
}

// TestDamage damages each kind of file after an orderly stop and after a kill. It is never silent, all else is intact,
// and what is damaged is kept.
func TestDamage(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *process.Process){"stopped": stopped, "killed": killed} {
		t.Run(name, func(t *testing.T) {
			in := newStored(t, end)
			list := damages()
			if name == "killed" {
				list = append(list, onlyKilled()...)
			}
			for _, d := range list {
				if d.want == fails && name == "killed" {
					d.want = refuses // A partition that was open is read at once.
				}
				t.Run(d.name, func(t *testing.T) { d.check(t, in) })
			}
		})
	}
}

// newStored makes a store with several partitions, tables in each, a checkpoint and a log.
func newStored(t *testing.T, end func(*testing.T, *process.Process)) stored {
	t.Helper()
	s := stored{t.TempDir(), []*ledger.Ledger{ledger.New("old"), ledger.New("new")}}
	server := start(t, s.dir, "LUMINATE_STORAGE_BADGER_MAX_HEAD_SAMPLES=1")
	if err := ledger.Once(t.Context(), ledger.Writers(3, ledger.Large, s.ledgers[0]), server.URL(), 8); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, server.URL())
	eventually(t, 30*time.Second, func(ctx context.Context) error {
		// A write may come between a flush and its end, and then waits for the next one.
		left, err := gauge(ctx, c, "luminate_storage_head_samples")
		if err == nil && left > 0 {
			err = fmt.Errorf("%v samples are still in memory", left)
		}
		return err
	})
	stopped(t, server)
	server = start(t, s.dir)
	if err := ledger.Once(t.Context(), ledger.Writers(6, ledger.Small, s.ledgers[1]), server.URL(), 8); err != nil {
		t.Fatal(err)
	}
	verify(t, server, s.ledgers...) // Opens all partitions.
	end(t, server)
	return s
}

func (d damage) check(t *testing.T, in stored) {
	t.Helper()
	dir := t.TempDir()
	copyTree(t, in.dir, dir)
	data := filepath.Join(dir, "data")
	damaged := d.inflict(t, data)
	var settings []string
	if d.want == refuses || d.want == fails {
		d.first(t, dir, in)
		if damaged != nil {
			isKept(t, data, damaged)
		}
		settings = []string{"LUMINATE_STORAGE_ALLOW_LOSSY_RECOVERY=true"}
	}
	server := start(t, dir, settings...)
	if d.want != harmless {
		d.announced(t, server)
	}
	if len(settings) > 0 && damaged != nil {
		isKept(t, data, damaged)
	}
	d.isIntact(t, server, in)
	if err := ledger.Once(t.Context(), ledger.Writers(3, ledger.Small, ledger.New("later")), server.URL(), 1); err != nil {
		t.Error(err)
	}
	stopped(t, server)
	server = start(t, dir)
	if strings.Contains(server.Output(), `"level":"ERROR"`) {
		t.Errorf("the same damage is announced again:\n%s", tail(server.Output(), 3000))
	}
	d.isIntact(t, server, in)
	killed(t, server)
}

// first starts a server without leave to lose anything.
func (d damage) first(t *testing.T, dir string, in stored) {
	t.Helper()
	var out string
	if d.want == refuses {
		out = refused(t, dir)
	} else {
		server := start(t, dir)
		good, bad := in.askDays(t, server)
		if good == 0 || bad == 0 {
			t.Errorf("%d days can be read, and %d can't: want some of both", good, bad)
		}
		d.announced(t, server)
		stopped(t, server)
		out = server.Output()
	}
	for _, want := range []string{d.says, "corrupt", "restore a backup", "storage.allow_lossy_recovery"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output does not say %q:\n%s", want, tail(out, 3000))
		}
	}
}

// askDays asks for each day on its own.
func (in stored) askDays(t *testing.T, server *process.Process) (good, bad int) {
	t.Helper()
	c := client.New(server.URL(), "old")
	defer c.Close()
	for day := range 3 {
		at := time.UnixMilli(in.ledgers[0].Base()).Add(time.Duration(day)*ledger.Day + time.Hour)
		reply, err := c.Query(t.Context(), `count(last_over_time(ledger_value[1h5m]))`, at)
		switch {
		case err != nil:
			t.Fatal(err)
		case !reply.OK():
			bad++
		default:
			if found, err := reply.Streams(); err != nil || len(found) != 1 {
				t.Errorf("day %d: %v, %v", day, found, err)
			}
			good++
		}
	}
	return good, bad
}

// isIntact wants everything to be there but what is damaged.
func (d damage) isIntact(t *testing.T, server *process.Process, in stored) {
	t.Helper()
	inLog := strings.HasPrefix(d.name, "log")
	for i, l := range in.ledgers {
		r, err := l.Compare(t.Context(), server.URL())
		if err != nil {
			t.Fatal(err)
		}
		if d.lose && inLog == (i == 1) {
			if len(r.Lost) == 0 {
				t.Error("nothing is lost: the damage hit nothing")
			}
			if !inLog && len(r.Lost) == r.Acknowledged {
				t.Error("everything is lost, not only the partition that is damaged")
			}
			r.Lost = nil
		}
		if err := r.Err(); err != nil {
			t.Error(err)
		}
	}
}

// inflict damages the largest file of the pattern and returns what it holds now; nil if it is gone.
func (d damage) inflict(t *testing.T, data string) []byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(data, d.file))
	if err != nil || len(names) == 0 {
		t.Fatalf("no file %s: %v", d.file, err)
	}
	name := largest(t, names)
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if content = d.do(content); content == nil {
		err = os.Remove(name)
	} else {
		err = os.WriteFile(name, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func largest(t *testing.T, names []string) string {
	t.Helper()
	found, most := "", int64(-1)
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > most {
			found, most = name, info.Size()
		}
	}
	return found
}

// announced wants a line in the log, and a metric above 0.
func (d damage) announced(t *testing.T, server *process.Process) {
	t.Helper()
	// What a request failed of is logged after its answer.
	eventually(t, 10*time.Second, func(context.Context) error {
		out := server.Output()
		for line := range strings.Lines(out) {
			if strings.Contains(line, `"level":"ERROR"`) && strings.Contains(line, d.says) {
				return nil
			}
		}
		return fmt.Errorf("the log says nothing about %q:\n%s", d.says, tail(out, 3000))
	})
	found, err := gauge(t.Context(), newClient(t, server.URL()), "luminate_storage_corruptions_total")
	if err != nil || found == 0 {
		t.Errorf("luminate_storage_corruptions_total is %v, %v", found, err)
	}
}

// isKept wants the damaged bytes to be in some file, where they were or in quarantine.
func isKept(t *testing.T, data string, damaged []byte) {
	t.Helper()
	want, found := sha256.Sum256(damaged), errors.New("found")
	err := filepath.WalkDir(data, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		if err == nil && sha256.Sum256(content) == want {
			err = found
		}
		return err
	})
	if !errors.Is(err, found) {
		t.Errorf("the damaged file is neither in its place nor in quarantine: %v", err)
	}
}

// copyTree copies a directory and leaves holes as holes.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	run(t, "cp", "-a", "--sparse=always", from+"/.", to)
}

// gauge returns the sum of all series of one of the server's own metrics whose lines begin with prefix.
func gauge(ctx context.Context, c *client.Client, prefix string) (float64, error) {
	reply, err := c.Get(ctx, "/metrics", nil)
	if err != nil {
		return 0, err
	}
	found, sum := false, 0.0
	for line := range strings.Lines(string(reply.Body)) {
		if !strings.HasPrefix(line, prefix) {
			continue
		}
		fields := strings.Fields(line)
		v, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			return 0, err
		}
		found, sum = true, sum+v
	}
	if !found {
		return 0, fmt.Errorf("no metric %s", prefix)
	}
	return sum, nil
}
