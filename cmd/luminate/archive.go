package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/luminate-metrics/luminate/config"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store/archive"
	"github.com/luminate-metrics/luminate/tenancy"
)

// standard is the name of standard input and output on the command line.
const standard = "-"

// backup streams an archive out of the running server.
func (m *Main) backup(ctx context.Context, w io.Writer, tenants []tenancy.ID) error {
	_, err := archive.Write(ctx, w, m.store, m.archiveOptions(tenants))
	return err
}

func (m *Main) archiveOptions(tenants []tenancy.ID) archive.WriteOptions {
	return archive.WriteOptions{Tenants: tenants, Program: "luminate " + buildVersion(), Now: m.now}
}

func backupCommand(w world) *cobra.Command {
	var load loader
	var b backupRequest
	var tenants []string
	cmd := &cobra.Command{
		Use:   "backup FILE|-",
		Short: "Write an archive of a stopped server's data",
		Long: "Backup writes everything that the store at storage.badger.path holds to a new file, or to standard output, and reads a\n" +
			"file back to verify it. The server must be stopped; a running one gives the same archive by\n" +
			"POST /luminate/v1/admin/backup. With --since it writes what changed since other archives, and with --from as well it\n" +
			"takes the present state from a full archive instead of a store.",
		Example: "  luminate backup --storage.badger.path=/var/lib/luminate /backup/monday.archive\n" +
			"  luminate backup - | ssh elsewhere 'cat >monday.archive'\n" +
			"  luminate backup --since monday.archive,tuesday.archive wednesday.archive\n" +
			"  luminate backup --from today-full.archive --since monday.archive today.archive",
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := load.load()
			if err != nil {
				return err
			}
			b.options.Program = "luminate " + buildVersion()
			for _, t := range tenants {
				id, err := tenancy.ParseID(t)
				if err != nil {
					return &usageError{fmt.Errorf("--tenants: %w", err)}
				}
				b.options.Tenants = append(b.options.Tenants, id)
			}
			if b.from == "" {
				return withStore(cfg, w, true, func(st openStore, _ metric.Hasher) error {
					b.store = st
					return b.run(cmd.Context(), args[0], w)
				})
			}
			if len(b.since) == 0 || tenants != nil {
				return &usageError{errors.New("--from needs --since, and takes the tenants that are in the archive")}
			}
			return b.run(cmd.Context(), args[0], w)
		},
	}
	cmd.Flags().StringSliceVar(&b.since, "since", nil, "write what changed since these archives: a full one and the increments upon it, in their order, separated by commas")
	cmd.Flags().StringVar(&b.from, "from", "", "full archive to take the present state from")
	cmd.Flags().StringSliceVar(&tenants, "tenants", nil, "only these tenants, separated by commas")
	load.addFlags(cmd, w.environ, "storage", "retention", "log")
	return cmd
}

// A backupRequest is what a backup is made of.
type backupRequest struct {
	since   []string
	from    string // An archive, or the store if that is empty.
	store   openStore
	options archive.WriteOptions
}

// run writes to a file, or to standard output.
func (b *backupRequest) run(ctx context.Context, name string, w world) error {
	if name == standard {
		sum, err := b.write(ctx, w.stdout)
		if err == nil {
			describeArchive(w.stderr, "wrote", sum)
		}
		return err
	}
	sum, err := writeArchive(name, func(f io.Writer) (archive.Summary, error) { return b.write(ctx, f) })
	if err == nil {
		describeArchive(w.stdout, "wrote", sum)
	}
	return err
}

func (b *backupRequest) write(ctx context.Context, w io.Writer) (archive.Summary, error) {
	if len(b.since) == 0 {
		return archive.Write(ctx, w, b.store, b.options)
	}
	since, done, err := openChain(b.since)
	if err != nil {
		return archive.Summary{}, err
	}
	defer done()
	if b.from == "" {
		return archive.WriteIncrement(ctx, w, b.store, since, b.options)
	}
	full, err := os.Open(b.from)
	if err != nil {
		return archive.Summary{}, err
	}
	sum, err := archive.Increment(w, full, since)
	return sum, errors.Join(err, full.Close())
}

// openChain opens archives that are read more than once.
func openChain(names []string) (files []io.ReadSeeker, done func(), err error) {
	var opened []*os.File
	done = func() {
		for _, f := range opened {
			_ = f.Close() // Nothing was written.
		}
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			done()
			return nil, nil, err
		}
		opened, files = append(opened, f), append(files, f)
	}
	return files, done, nil
}

func restoreCommand(w world) *cobra.Command {
	var load loader
	var merge bool
	cmd := &cobra.Command{
		Use:   "restore FILE|- [INCREMENT...]",
		Short: "Put an archive into a stopped server's empty store",
		Long: "Restore verifies a whole file before it stores anything; what comes through a pipe is verified block by block. The\n" +
			"store at storage.badger.path must be empty or new, unless --merge is given: samples of the archive then replace those of\n" +
			"the same series and time. Samples older than retention.period are left out, and counted. Increments follow the full\n" +
			"archive in their order; all of them are verified first.",
		Example: "  luminate restore --storage.badger.path=/var/lib/luminate-new /backup/monday.archive\n" +
			"  luminate restore --storage.badger.path=/var/lib/luminate-new monday.archive tuesday.archive wednesday.archive",
		Args: someFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := load.load()
			if err != nil {
				return err
			}
			if cfg.Storage.Backend == config.BackendMemory {
				return &usageError{errors.New("storage.backend is memory: what is restored there is gone when the command ends")}
			}
			in, files, done, err := openArchives(args)
			if err != nil {
				return err
			}
			defer done()
			return withStore(cfg, w, false, func(st openStore, hasher metric.Hasher) error {
				res, err := restoreFrom(cmd.Context(), st, in, files, archive.RestoreOptions{Merge: merge, Hasher: hasher})
				if err != nil {
					return err
				}
				describeArchive(w.stdout, "restored", res.Archive)
				if res.PastRetention > 0 {
					fmt.Fprintf(w.stderr, "luminate: %d items were left out because they are older than retention.period, %s\n", res.PastRetention, cfg.Retention.Period)
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&merge, "merge", false, "allow a store that holds data")
	load.addFlags(cmd, w.environ, "storage", "retention", "log")
	return cmd
}

// openArchives opens one archive as in, or a chain as files.
func openArchives(names []string) (in io.Reader, files []io.ReadSeeker, done func(), err error) {
	if len(names) == 1 {
		in, done, err = openArchive(names[0])
	} else {
		files, done, err = openChain(names)
	}
	return in, files, done, err
}

func restoreFrom(ctx context.Context, st openStore, in io.Reader, files []io.ReadSeeker, o archive.RestoreOptions) (archive.Restored, error) {
	if in != nil {
		return archive.Restore(ctx, st, in, o)
	}
	return archive.RestoreChain(ctx, st, files, o)
}

func verifyArchive(out io.Writer, name string) error {
	in, done, err := openArchive(name)
	if err != nil {
		return err
	}
	defer done()
	sum, err := archive.Verify(in)
	if err != nil {
		return err
	}
	describeArchive(out, "verified", sum)
	return nil
}

func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return &usageError{fmt.Errorf("%q takes one file, or - for standard input or output\nSee '%s --help'", cmd.CommandPath(), cmd.CommandPath())}
	}
	return nil
}

// someFiles wants one file, or more that are no standard input.
func someFiles(cmd *cobra.Command, args []string) error {
	if len(args) > 1 && !slices.Contains(args, standard) && !slices.Contains(args, "") {
		return nil
	}
	return oneFile(cmd, args)
}

func describeArchive(w io.Writer, did string, s archive.Summary) {
	what := "an archive"
	if s.Header.Kind == archive.Incremental {
		what = "an increment"
	}
	fmt.Fprintf(w, "%s %s of %s: %s, %d bytes, SHA-256 %s\n", did, what, s.Header.Created.Format(time.RFC3339), s.Counts, s.Bytes, s.SHA256)
}

func openArchive(name string) (in io.Reader, done func(), err error) {
	if name == standard {
		return os.Stdin, func() {}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	return f, func() { _ = f.Close() }, nil // Nothing was written.
}

// withStore opens the configured store for f. A store that must exist is not made by opening it.
func withStore(cfg *config.Config, w world, exists bool, f func(openStore, metric.Hasher) error) (err error) {
	if exists && cfg.Storage.Backend == config.BackendBadger {
		if _, err := os.Stat(filepath.Join(cfg.Storage.Badger.Path, "CATALOG")); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no store in %s: set storage.badger.path", cfg.Storage.Badger.Path)
		}
	}
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // It never fails.
	hasher := metric.NewHasher(binary.NativeEndian.Uint64(seed[:]))
	quiet := cfg.Log
	if quiet.Level == "info" {
		quiet.Level = "warn" // The default is for a server.
	}
	st, err := open(cfg, hasher, time.Now, newLogger(quiet, w.stderr), prometheus.NewRegistry())
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	defer func() {
		if closeErr := st.Close(); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("close the store: %w", closeErr))
		}
	}()
	return f(st, hasher)
}

// writeArchive writes to a new file, which has its name only once it is whole, durable and verified.
func writeArchive(name string, write func(io.Writer) (archive.Summary, error)) (sum archive.Summary, err error) {
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return sum, errors.Join(fmt.Errorf("%s exists: a backup never replaces a file", name), err)
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".partial-*")
	if err != nil {
		return sum, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // It may have its name already; the failure before counts.
		}
	}()
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	if sum, err = write(f); err != nil {
		return sum, err
	}
	if err := f.Sync(); err != nil {
		return sum, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return sum, err
	}
	if read, err := archive.Verify(f); err != nil || read.SHA256 != sum.SHA256 {
		return sum, errors.Join(fmt.Errorf("%s does not hold what was written", f.Name()), err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return sum, err
	}
	return sum, syncDirectory(filepath.Dir(name))
}

func syncDirectory(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
