package native_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/native"
	"github.com/luminate-metrics/luminate/tenancy"
)

const backupPath = "/luminate/v1/admin/backup"

func withBackup(b native.Backup, all bool) func(*native.Options) {
	return func(o *native.Options) { o.Backup, o.BackupAll = b, all }
}

func namesTenants(_ context.Context, w io.Writer, tenants []tenancy.ID) error {
	_, err := fmt.Fprintf(w, "archive of %v", tenants)
	return err
}

func TestBackupIsOfTheCallersTenant(t *testing.T) {
	one, all := newFixture(t, withBackup(namesTenants, false)), newFixture(t, withBackup(namesTenants, true))
	f := func(f *fixture, query string, status int, body string) {
		t.Helper()
		w := f.do(http.MethodPost, backupPath+query, "", "X-Scope-OrgID: acme")
		if w.Code != status || status == 200 && (w.Body.String() != body || w.Header().Get("Content-Type") != native.ArchiveType) {
			t.Errorf("%s: status %d, %s", query, w.Code, w.Body)
		}
	}
	f(one, "", 200, "archive of [acme]")
	f(one, "?tenants=own", 200, "archive of [acme]")
	f(all, "?tenants=own", 200, "archive of [acme]")
	f(all, "?tenants=all", 200, "archive of []")
	f(one, "?tenants=all", 403, "")
	f(all, "?tenants=other", 400, "")
	f(all, "?tenants=own&tenants=all", 400, "")
	f(all, "?tenant=all", 400, "")
	f(newFixture(t), "", 404, "")
}

func TestBackupThatFailsAtOnceIsAProblem(t *testing.T) {
	f := newFixture(t, withBackup(func(context.Context, io.Writer, []tenancy.ID) error {
		return problem.New(problem.Unavailable, "the store is closed")
	}, false))
	if w := f.do(http.MethodPost, backupPath, ""); w.Code != 503 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d, %v", w.Code, w.Header())
	}
}

func TestBackupThatFailsLaterCutsTheConnection(t *testing.T) {
	f := newFixture(t, withBackup(func(_ context.Context, w io.Writer, _ []tenancy.ID) error {
		_, err := io.WriteString(w, "half of it")
		return errors.Join(err, errors.New("the disk is gone"))
	}, false))
	defer func() {
		if got := recover(); got != any(http.ErrAbortHandler) {
			t.Errorf("recovered %v", got)
		}
	}()
	f.do(http.MethodPost, backupPath, "")
	t.Error("the answer ended as if it were complete")
}
