// Command luminate is the server and everything an operator does to it from a shell.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/luminate-metrics/luminate/config"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // Something went wrong while running.
	exitUsage   = 2 // The command line or the configuration is wrong.
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal begins the graceful stop, the second one ends the process as if nobody listened.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, world{args: os.Args[1:], environ: os.Environ(), stdout: os.Stdout, stderr: os.Stderr}))
}

// A world is what the program sees of its surroundings.
type world struct {
	args    []string
	environ []string
	stdout  io.Writer
	stderr  io.Writer
}

// run executes a command line and returns the exit code.
func run(ctx context.Context, w world) int {
	cmd := newRoot(w) //nolint:contextcheck // cobra hands the context to the commands.
	cmd.SetArgs(w.args)
	cmd.SetOut(w.stdout)
	cmd.SetErr(w.stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(w.stderr, "luminate: %s\n", err)
	var usage *usageError
	var problems config.SettingErrors
	if errors.As(err, &usage) || errors.As(err, &problems) {
		return exitUsage
	}
	return exitFailure
}

// A usageError is a command line that can't be understood.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func newRoot(w world) *cobra.Command {
	var load loader
	root := &cobra.Command{
		Use:   "luminate",
		Short: "A store for dimensioned metrics that speaks Prometheus",
		Long: "Luminate takes dimensioned metrics in by Prometheus remote write and a native JSON API, keeps them, and gives them\n" +
			"back by the Prometheus HTTP API, remote read and native aggregation. Without a command it runs the server.",
		Example: "  luminate\n" +
			"  luminate server --storage.badger.path=/var/lib/luminate --retention.period=90d\n" +
			"  LUMINATE_SERVER_LISTEN=127.0.0.1:9090 luminate",
		Args:          noArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd, &load, w)
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{fmt.Errorf("%w\nSee '%s --help'", err, cmd.CommandPath())}
	})
	load.addFlags(root, w.environ, "")
	root.AddCommand(serverCommand(w), checkConfigCommand(w), versionCommand(), tokenCommand(w), healthcheckCommand(w),
		backupCommand(w), restoreCommand(w), verifyCommand(w), releaseBallastCommand(w))
	return root
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Errorf("unknown command or argument %q for %q\nSee '%s --help'", args[0], cmd.CommandPath(), cmd.CommandPath())}
	}
	return nil
}

func serverCommand(w world) *cobra.Command {
	var load loader
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run the server (the default)",
		Example: "  luminate server --config=luminate.yaml\n" +
			"  luminate server --storage.backend=memory --server.listen=127.0.0.1:0",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd, &load, w) },
	}
	load.addFlags(cmd, w.environ, "")
	return cmd
}

func serve(cmd *cobra.Command, load *loader, w world) error {
	cfg, err := load.load()
	if err != nil {
		return err
	}
	return newMain(cfg, w.stdout, w.stderr).Run(cmd.Context())
}
