package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func checkConfigCommand(w world) *cobra.Command {
	var load loader
	cmd := &cobra.Command{
		Use:   "check-config",
		Short: "Check the settings and print those that hold",
		Long: "Check-config reads flags, environment and file as the server does. It prints the settings that hold as YAML, with\n" +
			"secrets hidden, or reports everything that is wrong with them and ends with exit code 2.",
		Example: "  luminate check-config --config=luminate.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load.load()
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), configYAML(cfg))
			return nil
		},
	}
	load.addFlags(cmd, w.environ, "")
	return cmd
}
