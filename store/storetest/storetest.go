// Package storetest is the conformance suite of the storage contract: what every backend must do, in one place. Only
// tests import it.
package storetest

import (
	"slices"
	"testing"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
)

// An Opener returns an empty store that is closed and removed when the test ends. The store has no retention and keeps
// at least 100 and at most 100,000 exemplars of a tenant. Its time partitions, if it has any, divide the day. A test may
// close the store itself; a second Close then returns store.ErrClosed or nil.
type Opener func(tb testing.TB) store.Store

// Hasher is what identifies series in the batches of the suite, unless a case is about another one. A backend that is
// opened with it is also tested on the path where the hashers are equal.
func Hasher() metric.Hasher { return metric.NewHasher(0x5eed) }

// Run tests the sentences of package store, one subtest each.
func Run(t *testing.T, open Opener) {
	t.Helper()
	groups := []struct {
		name  string
		cases []contractCase
	}{
		{"append", slices.Concat(appendCases(), valueCases(), batchCases())},
		{"read", slices.Concat(readCases(), flushCases(), readerCases(), contextCases())},
		{"match", matchCases()},
		{"names", nameCases()},
		{"chunks", chunkCases()},
		{"delete", slices.Concat(deleteCases(), moreDeleteCases(), expireCases())},
		{"extras", slices.Concat(extraCases(), metadataCases())},
		{"aggregate", slices.Concat(aggregateCases(), aggregateLimitCases())},
		{"tenants", tenantCases()},
		{"calls", callCases()},
		{"rollup", rollupCases()},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) { c.run(newProbe(t, open(t))) })
			}
		})
	}
}

// contractCase is one sentence of the contract and the test of it.
type contractCase struct {
	name string
	run  func(*probe)
}
