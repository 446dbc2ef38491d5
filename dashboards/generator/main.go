// Command generator writes the Grafana dashboards and checks them against Grafana's types.
//
// It is run by `make dashboards` and by `scripts/test ops`.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

const usage = `usage: generator generate DIRECTORY   writes each dashboard as DIRECTORY/UID.json
       generator check FILE...        decodes dashboards, rejecting every field that Grafana's types do not have`

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(64)
	}
	plugins.RegisterDefaultPlugins()
	var err error
	switch os.Args[1] {
	case "generate":
		err = generate(os.Args[2])
	case "check":
		err = check(os.Args[2:])
	default:
		err = fmt.Errorf("there is no command %q\n%s", os.Args[1], usage)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func generate(directory string) error {
	for _, board := range boards() {
		text, err := encode(board.build())
		if err != nil {
			return fmt.Errorf("%s: %w", board.uid, err)
		}
		if err := os.WriteFile(filepath.Join(directory, board.uid+".json"), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// encode writes a dashboard as a file that people can read and compare.
func encode(board dashboard.Dashboard) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(board)
	return text.Bytes(), err
}

func check(files []string) error {
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var decoded dashboard.Dashboard
		// For a valid dashboard the error is not nil, but empty.
		if err := decoded.UnmarshalJSONStrict(text); err != nil && err.Error() != "" {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}
