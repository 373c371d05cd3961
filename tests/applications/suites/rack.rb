# A Sinatra application that Rack::Lint looks at. Serves the listening socket it inherits as file descriptor 0.
require "json"
require "rack"
require "rack/handler/fastcgi"
require "rack/lint"
require "rack/show_exceptions"
require "sinatra/base"

class Application < Sinatra::Base
  set :environment, :production

  get("/") { "hello" }

  get "/env" do
    content_type :json
    JSON.dump(env.reject { |name, _| name.start_with?("rack.input", "rack.errors", "rack.request", "sinatra.") })
  end

  post("/form") { "#{params["name"]} #{params["list"].inspect}" }

  post "/upload" do
    file = params["file"]
    "#{file["filename"]} #{file["tempfile"].read.bytesize}"
  end

  # Twice, as Rack's input can be rewound.
  [:post, :put, :patch, :delete].each do |method|
    send(method, "/echo") do
      first = request.body.read
      request.body.rewind
      raise "another body" unless request.body.read == first
      content_type "application/octet-stream"
      first
    end
  end

  get "/status/:code" do
    headers "X-Test" => "a"
    status params["code"].to_i
  end

  get "/cookies" do
    response.set_cookie("first", "1")
    response.set_cookie("second", "2")
    "two"
  end

  get("/redirect") { redirect to("/") }

  get "/etag" do
    etag "abc"
    "tagged"
  end

  get("/stream") { stream { |out| 3.times { |number| out << "piece #{number}\n" } } }

  get("/file") { send_file __FILE__, type: "text/plain" }

  get("/raise") { raise "on purpose" }
end

$stderr.puts "ready"
Rack::Handler::FastCGI.run(Rack::ShowExceptions.new(Rack::Lint.new(Application.new)))
