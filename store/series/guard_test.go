package series_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/luminate-metrics/luminate/store/series"
)

func TestGuard(t *testing.T) {
	want := errors.New("x")
	if err := series.Guard(func() error { return want }); !errors.Is(err, want) {
		t.Error(err)
	}
	err := series.Guard(func() error { panic("out of luck") })
	if err == nil || !strings.Contains(err.Error(), "out of luck") || !strings.Contains(err.Error(), "guard_test.go") {
		t.Errorf("a panic became %v", err)
	}
}
