package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A Backup writes an archive of the given tenants, or of all if that is nil, while writes go on. After an error what it
// wrote is no archive.
type Backup func(ctx context.Context, w io.Writer, tenants []tenancy.ID) error

// ArchiveType is the content type of an archive.
const ArchiveType = "application/vnd.luminate.archive"

// stalled is how long a client may take to read a part of an archive. The whole may take as long as it needs.
const stalled = 2 * time.Minute

// serveBackup serves POST /luminate/v1/admin/backup.
func (a *API) serveBackup(w http.ResponseWriter, r *http.Request, tenant tenancy.ID) error {
	if a.backup == nil {
		return problem.New(problem.NotFound, "this server gives out no backups")
	}
	tenants, err := a.backupTenants(r.URL.RawQuery, tenant)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", ArchiveType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="luminate-%s.archive"`, a.now().UTC().Format("20060102T150405Z")))
	out := &patientWriter{w: w, control: http.NewResponseController(w), now: a.now}
	err = a.backup(r.Context(), out, tenants)
	switch {
	case err == nil:
		return nil
	case !out.begun:
		w.Header().Del("Content-Disposition")
		return err
	}
	level := slog.LevelError
	if r.Context().Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
		level = slog.LevelInfo // The client's doing.
	}
	a.log.LogAttrs(r.Context(), level, "backup was cut off", slog.String("tenant", string(tenant)), slog.Any("error", err))
	// The status is out: only a connection that is cut tells the client, besides the archive itself.
	panic(http.ErrAbortHandler)
}

// backupTenants returns whose data is asked for, nil for that of all.
func (a *API) backupTenants(query string, own tenancy.ID) ([]tenancy.ID, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, problem.New(problem.Invalid, "the query string is malformed: %s", err)
	}
	for name := range values {
		if name != "tenants" {
			return nil, problem.New(problem.Invalid, "unknown parameter %q: the only one is tenants", name)
		}
	}
	switch of := values["tenants"]; {
	case len(of) == 0, slices.Equal(of, []string{"own"}):
		return []tenancy.ID{own}, nil
	case !slices.Equal(of, []string{"all"}):
		return nil, problem.New(problem.Invalid, `parameter tenants must be given once, as "own" or "all"`)
	case !a.backupAll:
		return nil, problem.New(problem.Forbidden, "the scope admin is for one tenant: set native.backup_all_tenants on the server to let it back up all of them")
	}
	return nil, nil
}

// A patientWriter gives the client time anew with each part that it takes.
type patientWriter struct {
	w       io.Writer
	control *http.ResponseController
	now     func() time.Time
	begun   bool
}

func (p *patientWriter) Write(b []byte) (int, error) {
	p.begun = true
	if err := p.control.SetWriteDeadline(p.now().Add(stalled)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.w.Write(b)
}
