//go:build !race

package badger_test

// inGoHeap is true only where the race detector should see what the stores of the tests hold.
const inGoHeap = false
