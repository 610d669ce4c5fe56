package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/luminate-metrics/luminate/config"
	"github.com/luminate-metrics/luminate/tenancy"
	"github.com/luminate-metrics/luminate/tenancy/auth"
)

func tokenCommand(w world) *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make and look into tokens"}
	cmd.AddCommand(tokenMintCommand(w), tokenInspectCommand(w))
	return cmd
}

// tokens returns the signer of the configured secret.
func (l *loader) tokens() (*auth.Tokens, error) {
	cfg, err := l.load()
	if err != nil {
		return nil, err
	}
	if cfg.Auth.JWT.Secret.IsZero() {
		return nil, &usageError{errors.New("there is no signing secret: set LUMINATE_AUTH_JWT_SECRET or LUMINATE_AUTH_JWT_SECRET_FILE to that of the server")}
	}
	return auth.NewTokens(tokenOptions(cfg.Auth.JWT, time.Now))
}

func tokenMintCommand(w world) *cobra.Command {
	var load loader
	var tenant, subject, ttl string
	var tenants, scopes []string
	cmd := &cobra.Command{
		Use:   "mint",
		Short: "Print a signed token",
		Long: "Mint prints a token that the server accepts in auth.mode jwt, and nothing else. It signs with the secret in\n" +
			"LUMINATE_AUTH_JWT_SECRET or LUMINATE_AUTH_JWT_SECRET_FILE.",
		Example: "  TOKEN=$(luminate token mint --tenant acme --scopes read,write --ttl 24h)\n" +
			"  luminate token mint --tenants acme,globex --scopes read --ttl 90d --subject grafana",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := parseClaims(tenant, tenants, scopes)
			if err != nil {
				return &usageError{err}
			}
			var life config.Duration
			if err := life.UnmarshalText([]byte(ttl)); err != nil {
				return &usageError{fmt.Errorf("--ttl: %w", err)}
			}
			tokens, err := load.tokens()
			if err != nil {
				return err
			}
			c.Subject, c.Expires = subject, time.Now().Add(life.Std())
			token, err := tokens.Mint(c)
			if err != nil {
				return &usageError{err}
			}
			fmt.Fprintln(cmd.OutOrStdout(), token)
			return nil
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&tenant, "tenant", "", "the tenant that requests with the token work on")
	fs.StringSliceVar(&tenants, "tenants", nil, "tenants that requests may name by the header X-Scope-OrgID")
	fs.StringSliceVar(&scopes, "scopes", []string{"read", "write"}, "what the token allows: read, write, admin")
	fs.StringVar(&ttl, "ttl", "24h", "how long the token is valid")
	fs.StringVar(&subject, "subject", "", "who gets the token, for logs")
	load.addFlags(cmd, w.environ, "auth.jwt.")
	return cmd
}

func parseClaims(tenant string, tenants, scopes []string) (auth.Claims, error) {
	var c auth.Claims
	if tenant == "" && len(tenants) == 0 {
		return c, errors.New("--tenant is missing")
	}
	if tenant != "" {
		id, err := tenancy.ParseID(tenant)
		if err != nil {
			return c, fmt.Errorf("--tenant: %w", err)
		}
		c.Tenant = id
	}
	for _, t := range tenants {
		id, err := tenancy.ParseID(t)
		if err != nil {
			return c, fmt.Errorf("--tenants: %w", err)
		}
		c.Tenants = append(c.Tenants, id)
	}
	var err error
	if c.Scopes, err = tenancy.ParseScopes(scopes); err != nil {
		return c, fmt.Errorf("--scopes: %w", err)
	}
	return c, nil
}

func tokenInspectCommand(w world) *cobra.Command {
	var load loader
	cmd := &cobra.Command{
		Use:     "inspect [token]",
		Short:   "Check a token and print what it says",
		Long:    "Inspect verifies a token, given as argument or on standard input, as the server would, and prints what it says.",
		Example: "  luminate token inspect \"$TOKEN\"\n  echo \"$TOKEN\" | luminate token inspect",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			token := strings.Join(args, "")
			if token == "" {
				text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), auth.MaxTokenLength+2))
				if err != nil {
					return err
				}
				token = string(text)
			}
			tokens, err := load.tokens()
			if err != nil {
				return err
			}
			c, err := tokens.Verify(strings.TrimSpace(token))
			if err != nil {
				return fmt.Errorf("the token is not valid: %w", causeOf(err))
			}
			out := json.NewEncoder(cmd.OutOrStdout())
			out.SetIndent("", "  ")
			return out.Encode(map[string]any{
				"tenant": c.Tenant, "tenants": c.Tenants, "scopes": strings.Fields(c.Scopes.String()), "subject": c.Subject,
				"expires": c.Expires.UTC().Format(time.RFC3339),
			})
		},
	}
	load.addFlags(cmd, w.environ, "auth.jwt.")
	return cmd
}

// causeOf returns why a token was refused, which a client of the server is not told.
func causeOf(err error) error {
	if cause := errors.Unwrap(err); cause != nil {
		return cause
	}
	return err
}
