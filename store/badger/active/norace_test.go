//go:build !race

package active_test

// inGoHeap is true only where the race detector should see what the heads of the tests hold.
const inGoHeap = false
