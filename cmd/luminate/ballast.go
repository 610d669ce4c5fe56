package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/luminate-metrics/luminate/store/badger"
)

func releaseBallastCommand(w world) *cobra.Command {
	var load loader
	cmd := &cobra.Command{
		Use:   "release-ballast",
		Short: "Give back the space that the store keeps for a full disk",
		Long: "Release-ballast removes a file of the data directory that holds nothing but space, so that a store on a full disk can\n" +
			"start, move to disk what is in memory, and be cleaned up. The server may run. It makes the file again when there is\n" +
			"space.",
		Example: "  luminate release-ballast --storage.badger.path=/var/lib/luminate",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load.load()
			if err != nil {
				return err
			}
			dir := cfg.Storage.Badger.Path
			released, err := badger.ReleaseBallast(dir)
			if err != nil {
				return err
			}
			if released == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "there is no ballast in %s\n", dir)
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), "released %d bytes in %s\n", released, dir)
			return nil
		},
	}
	load.addFlags(cmd, w.environ, "storage.badger.path")
	return cmd
}
