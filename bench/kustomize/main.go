// Build each folder that is named with Kustomize's own library, one after another in this process.
//
// Called by bench.peers: the builds go to stdout, and the seconds that they took go to stderr.
package main

import (
	"fmt"
	"os"
	"time"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func main() {
	started := time.Now()
	for _, folder := range os.Args[1:] {
		built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
		if err != nil {
			panic(err)
		}
		text, err := built.AsYaml()
		if err != nil {
			panic(err)
		}
		fmt.Print("---\n", string(text))
	}
	fmt.Fprintln(os.Stderr, time.Since(started).Seconds())
}
