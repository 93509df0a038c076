// The suite's origin server on a free loopback port, which it says on standard output: `node ... SUITE_FOLDER`.
// The suite itself would listen on all addresses, on a port that is chosen beforehand.
import http from 'http'
import { join } from 'path'
import { pathToFileURL } from 'url'

const listen = http.Server.prototype.listen
http.Server.prototype.listen = function () {
  return listen.call(this, 0, '127.0.0.1', () => process.stdout.write(`${this.address().port}\n`))
}
console.log = () => {}
await import(pathToFileURL(join(process.argv[2], 'server', 'server.mjs')))
