package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/prometheus/common/version"
	"github.com/spf13/cobra"
)

// buildVersion is the version that the build was given, or "dev".
func buildVersion() string { return cmp.Or(version.Version, "dev") }

func versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  luminate version --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{
					"version": buildVersion(), "revision": version.GetRevision(), "branch": version.Branch,
					"go": version.GoVersion, "platform": runtime.GOOS + "/" + runtime.GOARCH,
				})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "luminate %s (revision %s, %s, %s/%s)\n",
				buildVersion(), cmp.Or(version.GetRevision(), "unknown"), version.GoVersion, runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
