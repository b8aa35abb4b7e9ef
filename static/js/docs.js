// Starts Swagger UI or ReDoc (static/vendor) on the page that holds its element.
const swagger = document.getElementById("swagger");
const redoc = document.getElementById("redoc");

if (swagger) {
  window.SwaggerUIBundle({
    url: swagger.dataset.openapi,
    domNode: swagger,
    deepLinking: true,
    tryItOutEnabled: true,
    displayRequestDuration: true,
    persistAuthorization: false, // a token stays in this page and nowhere else
    validatorUrl: null, // nothing is sent to validator.swagger.io
  });
}

if (redoc) {
  window.Redoc.init(
    redoc.dataset.openapi,
    {
      disableSearch: true, // its index runs in a worker made of a blob, which the CSP refuses
      hideDownloadButton: false,
      theme: { typography: { fontFamily: "system-ui, sans-serif", headings: { fontFamily: "system-ui, sans-serif" } } },
    },
    redoc,
  );
}
