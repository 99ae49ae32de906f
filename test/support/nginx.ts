import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePorts } from "../../src/app/setup/index.ts";
import { endsWithUs } from "./children.ts";
import { until } from "./net.ts";

export interface Nginx {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** nginx with one worker over a directory that it may read; what it writes is in `work`. */
export async function startNginx(directory: string, work: string): Promise<Nginx> {
  const [port = 0] = await freePorts(1);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${work}/${name};`,
  );
  const config = join(work, "nginx.conf");
  await writeFile(
    config,
    `worker_processes 1; daemon off; master_process off; pid ${work}/nginx.pid; error_log stderr crit;
events { worker_connections 512; }
http { access_log off; sendfile on; absolute_redirect off; ${temporary.join(" ")}
types { text/html html; text/plain txt; application/json json; application/gzip gz; }
server { listen 127.0.0.1:${port}; root ${directory}; autoindex on; } }\n`,
  );
  const child = endsWithUs(spawn("nginx", ["-c", config], { stdio: "ignore" }));
  const url = `http://127.0.0.1:${port}`;
  const answers = (): Promise<boolean> =>
    fetch(url).then(
      () => true,
      () => false,
    );
  await until(answers, 10_000, "nginx answers");
  return {
    url,
    pid: child.pid ?? 0,
    stop: async () => {
      child.ref();
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}
