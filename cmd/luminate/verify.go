package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/luminate-metrics/luminate/config"
	"github.com/luminate-metrics/luminate/store/badger"
)

func verifyCommand(w world) *cobra.Command {
	var load loader
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check a data directory, all of it, and change nothing",
		Long: "Verify reads everything in the data directory of a server that does not run: catalog, write-ahead log, partitions,\n" +
			"with all checksums and counts. It tells each damage on a line with the file, the time range and what is lost, and\n" +
			"ends with exit code 1 if there is any. It changes nothing in the directory. Copies of small files go to TMPDIR.",
		Example: "  luminate verify --storage.badger.path=/var/lib/luminate",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load.load()
			if err != nil {
				return err
			}
			if cfg.Storage.Backend != config.BackendBadger {
				return &usageError{fmt.Errorf("storage.backend is %s: there is no data directory to verify", cfg.Storage.Backend)}
			}
			dir, out := cfg.Storage.Badger.Path, cmd.OutOrStdout()
			report, err := badger.Verify(cmd.Context(), dir, func(d badger.Damage) { fmt.Fprintln(out, d) })
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
		},
	}
	load.addFlags(cmd, w.environ, "storage.badger.path", "storage.backend")
	return cmd
}
