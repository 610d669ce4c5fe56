package partition

import (
	"os"
	"path/filepath"
)

// removeUnborn removes the logs of Badger in dir that have no content: a crash between the creation of a file and its
// first write leaves one, and Badger refuses to open a directory that holds it. What a log should have held is missed by
// check, so nothing is lost in silence.
func removeUnborn(dir string) error {
	for _, pattern := range []string{"*.mem", "*.vlog"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, name := range names {
			info, err := os.Stat(name)
			if err != nil {
				return err
			}
			if info.Size() > 0 {
				continue
			}
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}
