// The suite's client: `node ... SUITE_FOLDER RESULT_FILE [URL]`. Without a URL it only lists the tests.
// It writes the tests with their kinds, what the suite says of each, and the last status that each one was answered with:
// the suite's words alone do not tell a stale response from a proxy's own 502.
import { writeFileSync } from 'fs'
import { createRequire } from 'module'
import { join } from 'path'
import { pathToFileURL } from 'url'

const [folder, file, base] = process.argv.slice(2)
const load = path => import(pathToFileURL(join(folder, ...path.split('/'))))
const suites = (await load('tests/index.mjs')).default // without those about Surrogate-Control, which are elsewhere
const tests = suites.flatMap(suite => suite.tests)
  .filter(test => !test.browser_only)
  .map(test => ({ id: test.id, kind: test.kind || 'required' }))
const statuses = {}
let results = {}
if (base) {
  const fetch = createRequire(join(folder, 'cli.mjs'))('node-fetch')
  const watched = async (url, init) => {
    const response = await fetch(url, init)
    const id = (init?.headers || []).find(([name]) => name === 'Test-ID')?.[1]
    if (id) statuses[id] = response.status
    return response
  }
  const { runTests, getResults } = await load('client/runner.mjs')
  await runTests(suites, watched, false, base)
  results = getResults()
}
writeFileSync(file, JSON.stringify({ tests, results, statuses }))
process.exit(0)
