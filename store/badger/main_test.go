package badger_test

import (
	"testing"

	"go.uber.org/goleak"
)

// Badger leaves these two behind when it refuses to open a damaged directory. A database that we forgot to close has
// many more.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/dgraph-io/badger/v4.(*DB).monitorCache"),
		goleak.IgnoreTopFunction("github.com/dgraph-io/ristretto/v2/z.(*AllocatorPool).freeupAllocators"),
	)
}
