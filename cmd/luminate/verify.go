package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/luminate-metrics/luminate/config"
	"github.com/luminate-metrics/luminate/store/badger"
)

func verifyCommand(w world) *cobra.Command {
	var load loader
	cmd := &cobra.Command{
		Use:   "verify [FILE|-]",
		Short: "Check an archive or a data directory, all of it, and change nothing",
		Long: "With a file, verify reads a whole archive, checks everything in it and says what it holds. That needs no store.\n\n" +
			"Without one it reads everything in the data directory of a server that does not run: catalog, write-ahead log, partitions,\n" +
			"with all checksums and counts. It tells each damage on a line with the file, the time range and what is lost, and\n" +
			"ends with exit code 1 if there is any. It changes nothing in the directory. Copies of small files go to TMPDIR.",
		Example: "  luminate verify /backup/monday.archive\n" +
			"  luminate verify --storage.badger.path=/var/lib/luminate",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return oneFile(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return verifyArchive(cmd.OutOrStdout(), args[0])
			}
			cfg, err := load.load()
			if err != nil {
				return err
			}
			if cfg.Storage.Backend != config.BackendBadger {
				return &usageError{fmt.Errorf("storage.backend is %s: there is no data directory to verify", cfg.Storage.Backend)}
			}
			return verifyDirectory(cmd.Context(), cmd.OutOrStdout(), cfg.Storage.Badger.Path)
		},
	}
	load.addFlags(cmd, w.environ, "storage.badger.path", "storage.backend")
	return cmd
}

func verifyDirectory(ctx context.Context, out io.Writer, dir string) error {
	report, err := badger.Verify(ctx, dir, func(d badger.Damage) { fmt.Fprintln(out, d) })
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "read %d partitions with %d series, %d chunks and %d samples, and %d records of the write-ahead log\n",
		report.Partitions, report.Series, report.Chunks, report.Samples, report.Records)
	if report.Torn > 0 {
		fmt.Fprintf(out, "the log ends with %d bytes of a record that was never acknowledged: that is no damage\n", report.Torn)
	}
	if report.Damages > 0 {
		return fmt.Errorf("%s has %d damages: restore a backup, or set storage.allow_lossy_recovery to go on without what is lost", dir, report.Damages)
	}
	return nil
}
